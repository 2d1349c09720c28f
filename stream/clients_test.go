//go:build linux

package stream

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/usher-ws/usher/poller"
	"github.com/usher-ws/usher/record/handshake"
)

// TestClients: whatever many clients do to several loops at once, they are served as long
// as they behave, and nothing of them is left: streams, files, goroutines, buffers, counts.
func TestClients(t *testing.T) {
	t.Run("clear", func(t *testing.T) {
		testClients(t, serve, func(addr string) (halfCloser, error) {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				return nil, err
			}
			return c.(halfCloser), nil
		})
	})
	t.Run("TLS", func(t *testing.T) {
		_, pool := testCert()
		testClients(t, serveTLS, func(addr string) (halfCloser, error) {
			return tls.Dial("tcp", addr, &tls.Config{RootCAs: pool})
		})
	})
}

// halfCloser is a connection that can say its last and go on reading.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

func serveTLS(t testing.TB, cfg config, set func(*owner)) (*engine, []*owner, string) {
	e, owners, at := runTLS(t, cfg, set)
	return e, owners, at.String()
}

func testClients(t *testing.T, serve func(testing.TB, config, func(*owner)) (*engine, []*owner, string), dial func(addr string) (halfCloser, error)) {
	const clients, visits = 16, 40
	cfg := roomy()
	cfg.Loops, cfg.MaxConns, cfg.Reserve, cfg.WriteTimeout, cfg.MaxBuffered = 3, 100, 20, time.Second, 8<<20
	e, _, addr := serve(t, cfg, func(o *owner) {
		o.opened = func(s link) {
			if s.Excess() {
				s.Finish([]byte("full"))
			}
		}
		o.input = func(s link, b []byte, eof bool) {
			switch {
			case eof:
				s.Finish(nil)
			case b[0] == '!':
				s.Reset(errCut)
			case b[0] == '?':
				s.Finish(plenty[:1<<20])
			default:
				s.Write(b)
			}
		}
		o.victim = func(s link) { s.Cut(ErrShed) }
		o.mail = func() {
			for s := range o.loop.All() {
				if s.State() == Flowing && s.Slot()%7 == 0 {
					s.Yield()
				}
			}
		}
	})
	visit(t, addr, nil, dial) // what is made at first use is made now
	eventually(t, "it is quiet", func() bool { return e.Sockets() == 0 })
	files, goroutines := openFiles(), runtime.NumGoroutine()
	stop := make(chan bool)
	var others sync.WaitGroup
	others.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, l := range e.Loops() {
				l.Wake()
				if err := l.Post(func() { l.Streams() }); err != nil {
					t.Error(err)
				}
			}
			e.Stats()
			runtime.Gosched()
		}
	})
	var served atomic.Int32
	var all sync.WaitGroup
	for k := range clients {
		rng := rand.New(rand.NewPCG(2, uint64(k)))
		all.Go(func() {
			for range visits {
				if visit(t, addr, rng, dial) {
					served.Add(1)
				}
			}
		})
	}
	all.Wait()
	close(stop)
	others.Wait()
	if served.Load() == 0 {
		t.Error("nobody was served")
	}
	eventually(t, "all streams have ended", func() bool { return e.Sockets() == 0 })
	eventually(t, "files and goroutines are back", func() bool {
		return openFiles() <= files && runtime.NumGoroutine() <= goroutines
	})
	for _, l := range e.Loops() {
		on(t, l, func() {
			if n := l.Buffers.InUse(); n != 0 || l.Streams() != 0 {
				t.Errorf("loop %d: %d bytes are lent, %d streams", l.ID(), n, l.Streams())
			}
		})
	}
}

// visit does what one client may do, chosen by rng, and reports whether it was served
// well. With a nil rng it behaves.
func visit(t testing.TB, addr string, rng *rand.Rand, dial func(addr string) (halfCloser, error)) (served bool) {
	c, err := dial(addr)
	if err != nil {
		if _, isPlain := c.(*net.TCPConn); isPlain {
			t.Error(err)
		}
		return false // in a handshake it can be evicted
	}
	defer c.Close()
	way := 0
	if rng != nil {
		way = rng.IntN(8)
	}
	switch way {
	case 1: // says nothing
		return false
	case 2: // resets
		io.WriteString(c, "hello")
		tcp := net.Conn(c)
		if over, ok := tcp.(*tls.Conn); ok {
			tcp = over.NetConn()
		}
		tcp.(*net.TCPConn).SetLinger(0)
		return false
	case 3: // asks for much and takes nothing
		for k := 0; k < 100; k++ {
			if _, err := c.Write(plenty[:64<<10]); err != nil {
				break
			}
			c.SetWriteDeadline(time.Now().Add(time.Millisecond))
		}
		return false
	case 4: // is reset
		io.WriteString(c, "!")
		io.Copy(io.Discard, c)
		return false
	case 5: // asks for last words, and takes them all
		io.WriteString(c, "?")
		n, err := io.Copy(io.Discard, c)
		return err == nil && n == 1<<20
	case 6: // the same, but goes in between
		io.WriteString(c, "?")
		io.CopyN(io.Discard, c, 100<<10)
		return false
	case 7: // ends its side before it has read
		io.WriteString(c, "words")
		c.CloseWrite()
		got, _ := io.ReadAll(c)
		return string(got) == "words"
	}
	for k := range 5 {
		say := fmt.Sprintf("hello %d", k)
		got := make([]byte, len(say))
		io.WriteString(c, say)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != say {
			return false // it may be full
		}
	}
	return true
}

// What is posted is run in the order of the calls, on the loop, and nothing after Close.
func TestPostKeepsItsOrder(t *testing.T) {
	e, err := New(roomy(), func(l *loop) Handler[mark, bag] { return newOwner(t, l) })
	if err != nil {
		t.Fatal(err)
	}
	l := e.Loops()[0]
	const posters, each = 4, 500
	var next [posters]int // of the loop
	ran := 0
	post := func(k, n int) error {
		return l.Post(func() {
			if !l.IsHere() && l.CanTell() {
				t.Error("not on the loop")
			}
			if next[k] != n {
				t.Errorf("poster %d: %d is run, want %d", k, n, next[k])
			}
			next[k]++
			ran++
		})
	}
	if err := post(0, 0); err != nil { // before Start, too
		t.Fatal(err)
	}
	if err := e.Start(); err != nil {
		t.Fatal(err)
	}
	if l.IsHere() {
		t.Error("the test is on the loop")
	}
	var all sync.WaitGroup
	for k := range posters {
		all.Go(func() {
			for n := range each {
				if k == 0 {
					n++
				}
				if err := post(k, n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	on(t, l, func() {
		if ran != posters*each+1 {
			t.Errorf("%d were run, want %d", ran, posters*each+1)
		}
	})
	e.Close()
	if err := l.Post(func() { t.Error("run after Close") }); err != poller.ErrClosed {
		t.Errorf("after Close: got %v", err)
	}
	e.Close()
	checkEmpty(t, e)
}

// An engine that lacks what it needs is not made.
func TestConfig(t *testing.T) {
	for _, cfg := range []config{{}, {Loops: 1}, {Weigh: weigh}, {Loops: -1, Weigh: weigh}} {
		if e, err := New(cfg, func(l *loop) Handler[mark, bag] { return newOwner(t, l) }); err == nil {
			t.Errorf("made: %+v", e)
		}
	}
	// With so little nobody could come in.
	little := config{Loops: 3, Weigh: weigh, TLS: new(handshake.Server), MaxBuffered: 64 << 10}
	if _, err := New(little, func(l *loop) Handler[mark, bag] { return newOwner(t, l) }); !errors.Is(err, ErrMemory) {
		t.Errorf("with 64 KiB for TLS: %v", err)
	}
}
