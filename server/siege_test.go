//go:build linux

package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/upgrade"
)

// siege is a server under attack, with every limit that counts, and what there was of
// everything before.
type siege struct {
	*testing.T
	wire
	s          *Server
	addr       string
	files      int
	goroutines int
}

func newSiege(t *testing.T, w wire) *siege {
	handshake := 2 * time.Second // which those who are welcome need not take, however busy the machine
	if w {
		handshake *= 2
	}
	s := &Server{
		Loops: 2, MaxConnsPerIP: 5000, MaxConnsPerUser: 5000,
		HandshakeTimeout: handshake, MessageTimeout: time.Second, WriteTimeout: time.Second, IdleTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
			fmt.Fprint(w, "thanks")
		}),
	}
	alice := upgrade.Guard{OnBeforeUpgrade: func(r *upgrade.Request) (http.Header, error) {
		r.Identity = &upgrade.Identity{Subject: "alice"}
		return nil, nil
	}}
	g := NewGroup()
	s.Route("/room", Route{
		Guards:  []upgrade.Guard{alice},
		Open:    func(c Conn) error { return g.Join(c) },
		Message: func(_ Conn, m Message) error { return g.Send(m.Opcode, m.Data) },
	})
	s.Route("/echo", Route{Guards: []upgrade.Guard{alice}, Message: echo})
	s.Route("/work", Route{Guards: []upgrade.Guard{alice}, Message: echo, Middleware: []Middleware{Offload(2)}})
	s.Route("/ask", Route{Message: echo, Authorize: func(ctx context.Context, _ *upgrade.Request) error {
		<-ctx.Done()
		return ctx.Err()
	}})
	b := &siege{T: t, wire: w, s: s, addr: start(t, w.server(s))}
	b.visit("/echo") // what is made at first use is made now
	b.post(b, b.addr, "/form", "body")
	b.settle()
	b.files, b.goroutines = openFiles(), runtime.NumGoroutine()
	return b
}

// visit is a client who is welcome.
func (b *siege) visit(path string) {
	c := b.dial(b, b.addr, path)
	defer c.Close()
	say(b, c, "hi")
	if got := read(b, c); got != "hi" {
		b.Errorf("got %q", got)
	}
}

// settle waits until nobody is there any more.
func (b *siege) settle() {
	for range 64 { // as a minute does, so that limits forget those that have gone
		b.s.ipMessages.Sweep(time.Hour)
		b.s.userMessages.Sweep(time.Hour)
	}
	eventually(b, "all are gone", func() bool {
		st := b.s.Stats()
		return st.Sockets == 0 && st.Lingering == 0 && st.Buffered == 0 && st.Total.Conns == 0 &&
			b.s.perIP.Len() == 0 && b.s.users.len() == 0 && b.s.asking.InUse() == 0
	})
}

// relief checks that nothing is left of an attack.
func (b *siege) relief() {
	b.visit("/echo")
	b.settle()
	eventually(b, "goroutines are back", func() bool { return runtime.NumGoroutine() <= b.goroutines })
	eventually(b, "descriptors are back", func() bool { return openFiles() <= b.files })
}

// TestSiege: of whatever people without manners do, nothing is left when they are
// gone or their time is up, and others are served meanwhile.
func TestSiege(t *testing.T) { onBothWires(t, testSiege) }

func testSiege(t *testing.T, w wire) {
	many := w.some(50)
	upgradeTo := func(path string) string { return fmt.Sprintf(upgradeHead, path) }
	hello := string(masked(frame.OpText, []byte("hello")))
	form := "POST /form HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n"
	stages := []string{ // where a connection may be left
		"", "G", upgradeTo("/echo")[:60], upgradeTo("/ask"), form, form + "body",
		upgradeTo("/echo"), upgradeTo("/room") + hello, upgradeTo("/work") + hello, upgradeTo("/echo") + hello[:8],
		upgradeTo("/echo") + "\x88\x80\x00\x00\x00\x00", upgradeTo("/nobody") + strings.Repeat("x", 60<<10), "GARBAGE\r\n\r\n",
	}
	for _, c := range []struct {
		name   string
		attack func(b *siege, stage string) peerConn
	}{
		// The handshake-timeout ends a head, the message-timeout a message and a body. Who
		// has said something whole and then nothing is welcome to stay.
		{"stalled", func(b *siege, stage string) peerConn {
			c := b.connect(b, b.addr)
			io.WriteString(c, stage)
			return c
		}},
		{"dripping", func(b *siege, stage string) peerConn {
			c := b.connect(b, b.addr)
			go func() {
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for k := range stage {
					if _, err := c.Write([]byte(stage[k : k+1])); err != nil {
						return
					}
					<-tick.C
				}
			}()
			return c
		}},
		{"half-closed", func(b *siege, stage string) peerConn {
			c := b.connect(b, b.addr)
			io.WriteString(c, stage)
			c.CloseWrite()
			return c // and never read
		}},
		{"reset", func(b *siege, stage string) peerConn {
			c := b.connect(b, b.addr)
			io.WriteString(c, stage)
			c.SetLinger(0)
			c.Close()
			return nil
		}},
		{"closed", func(b *siege, stage string) peerConn {
			c := b.connect(b, b.addr)
			io.WriteString(c, stage)
			c.Close()
			return nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newSiege(t, w)
			var left []peerConn
			for n := range many * len(stages) {
				if conn := c.attack(b, stages[n%len(stages)]); conn != nil {
					left = append(left, conn)
				}
				if n%100 == 0 {
					b.visit("/echo")
				}
			}
			eventually(t, "only those are left who did nothing wrong", func() bool {
				st := b.s.Stats()
				return st.Sockets == st.Total.Conns && st.Buffered == 0 && (c.name == "stalled" || st.Sockets == 0)
			})
			var all sync.WaitGroup
			for _, conn := range left {
				all.Go(func() { conn.Close() })
			}
			all.Wait()
			b.relief()
		})
	}
}

// TestFlood: thousands who connect at once and say nothing are let go without a word
// when their time is up.
func TestFlood(t *testing.T) { onBothWires(t, testFlood) }

func testFlood(t *testing.T, w wire) {
	const flood = 3000
	b := newSiege(t, w)
	conns := make([]peerConn, flood)
	for k := range conns {
		conns[k] = b.connect(b, b.addr)
		if k%500 == 0 {
			b.visit("/echo")
		}
	}
	b.settle()
	for _, c := range conns {
		c.Close()
	}
	b.relief()
}

// TestDeaf: who asks for echoes and takes none is cut when the write-timeout is over.
func TestDeaf(t *testing.T) { onBothWires(t, testDeaf) }

func testDeaf(t *testing.T, w wire) {
	const deaf = 20
	b := newSiege(t, w)
	message := masked(frame.OpBinary, make([]byte, 60<<10))
	var all sync.WaitGroup
	for range deaf {
		c := w.open(t, b.addr, "/echo")
		all.Go(func() {
			for err := error(nil); err == nil; { // until it is cut
				_, err = c.Write(message)
			}
			c.Close()
		})
	}
	for range 20 {
		b.visit("/echo")
	}
	all.Wait()
	b.relief()
}
