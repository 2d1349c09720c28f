//go:build linux

package server

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"golang.org/x/sys/unix"
)

// rawDial is wire.open in the clear.
func rawDial(t testing.TB, addr, path string) *net.TCPConn {
	t.Helper()
	return wire(false).open(t, addr, path).(*net.TCPConn)
}

func masked(op frame.Opcode, payload []byte) []byte {
	b := frame.AppendHeader(nil, frame.Header{Fin: true, Opcode: op, Masked: true, Length: int64(len(payload))})
	return append(b, payload...) // the mask is zero
}

// A client that asks for echoes and never reads them costs one read's worth of
// answers, not what it asked for, and the others do not notice.
func TestClientThatNeverReads(t *testing.T) { onBothWires(t, testClientThatNeverReads) }

func testClientThatNeverReads(t *testing.T, w wire) {
	s := &Server{Loops: 1}
	s.Route("/echo", Route{Message: echo})
	addr := start(t, w.server(s))
	greedy := w.open(t, addr, "/echo")
	message := masked(frame.OpBinary, make([]byte, 60_000))
	greedy.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
	asked := 0
	for { // until TCP pushes back
		n, err := greedy.Write(message)
		asked += n
		if err != nil {
			break
		}
		if asked > 64<<20 {
			t.Fatal("64 MiB of echoes were accepted from a client that reads none")
		}
	}
	other := w.dial(t, addr, "/echo")
	say(t, other, "still here?")
	read(t, other)
	lent := make(chan int)
	s.loops[0].Post(func() { lent <- s.loops[0].Buffers.InUse() })
	if n := <-lent; n > 512<<10 {
		t.Errorf("%d bytes are held for it", n)
	}
}

// A group's member that does not read is closed with 1013 at its backlog; the
// others get everything.
func TestSlowMemberIsClosed(t *testing.T) { onBothWires(t, testSlowMemberIsClosed) }

func testSlowMemberIsClosed(t *testing.T, w wire) {
	s := &Server{MaxBacklog: 64 << 10, WriteTimeout: time.Second}
	g := NewGroup()
	s.Route("/room", Route{
		Open:    func(c Conn) error { return g.Join(c) },
		Message: func(_ Conn, m Message) error { return g.Send(m.Opcode, m.Data) },
	})
	addr := start(t, w.server(s))
	w.open(t, addr, "/room") // never reads
	c := w.dial(t, addr, "/room")
	text := strings.Repeat("x", 50_000)
	for k := 0; s.Stats().Overflowed == 0; k++ {
		say(t, c, text)
		if got := read(t, c); len(got) != len(text) {
			t.Fatalf("got %d bytes", len(got))
		}
		if k > 1000 {
			t.Fatal("50 MB were sent to a member that reads nothing")
		}
	}
	say(t, c, "sync") // the loop is past what it was counting
	read(t, c)
	if n := g.Len(); n != 1 {
		t.Errorf("the group has %d members, want 1", n)
	}
}

// When memory runs out, the connection that holds most of it goes.
func TestBudget(t *testing.T) { onBothWires(t, testBudget) }

func testBudget(t *testing.T, w wire) {
	s := &Server{Loops: 1, MaxBuffered: 1 << 20, MaxMessage: 16 << 20}
	s.Route("/echo", Route{Message: echo})
	addr := start(t, w.server(s))
	modest := w.open(t, addr, "/echo")
	modest.Write(masked(frame.OpBinary, make([]byte, 1000))[:500])
	hog := w.open(t, addr, "/echo")
	for _, err := hog.Write(masked(frame.OpBinary, make([]byte, 4<<20))[:3<<20]); err == nil; {
		_, err = hog.Write(make([]byte, 64<<10))
		if s.Stats().Shed > 0 {
			break
		}
	}
	answer, _ := io.ReadAll(hog)
	if string(answer) != "\x88\x08\x03\xf5memory" {
		t.Errorf("told %q, want a close with 1013", answer)
	}
	modest.Write(make([]byte, 1000+8-500))
	if n, err := io.ReadFull(modest, make([]byte, 4+1000)); err != nil {
		t.Errorf("the modest one got %d bytes: %v", n, err)
	}
}

// Out of descriptors the listener pauses and comes back by itself.
func TestOutOfDescriptors(t *testing.T) {
	s := &Server{Loops: 1}
	s.Route("/echo", Route{Message: echo})
	addr := start(t, s)
	before := dial(t, addr, "/echo")
	c, err := net.Dial("tcp", addr) // accepted before the limit bites, to keep the client's own calls out of it
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	say(t, before, "sync")
	read(t, before)

	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 4, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: int(s.Addrs()[0].Port())})
	for s.Stats().AcceptPauses == 0 && err == nil {
		say(t, before, "others are served")
		read(t, before)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	head := fmt.Sprintf(upgradeHead, "/echo")
	if _, err := unix.Write(fd, []byte(head)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 512)
	if n, err := unix.Read(fd, buf); err != nil || !strings.HasPrefix(string(buf[:n]), "HTTP/1.1 101 ") {
		t.Errorf("after the pause: %q, %v", buf[:max(n, 0)], err)
	}
}

// Connections that are reset at any moment leave nothing behind; start checks what
// is left at the end.
func TestResets(t *testing.T) { onBothWires(t, testResets) }

func testResets(t *testing.T, w wire) {
	s := &Server{Loops: 2}
	g := NewGroup()
	s.Route("/room", Route{
		Open:    func(c Conn) error { return g.Join(c) },
		Message: func(_ Conn, m Message) error { return g.Send(m.Opcode, m.Data) },
	})
	addr := start(t, w.server(s))
	stays := w.dial(t, addr, "/room")
	whole := fmt.Sprintf(upgradeHead, "/room") + string(masked(frame.OpText, []byte("hello"))) + string(masked(frame.OpBinary, make([]byte, 30_000)))
	var wg sync.WaitGroup
	for k := range 4 {
		rng := rand.New(rand.NewPCG(1, uint64(k)))
		wg.Go(func() {
			for range w.some(150) {
				c := w.connect(t, addr)
				c.Write([]byte(whole[:rng.IntN(len(whole))]))
				if rng.IntN(2) == 0 {
					c.SetReadDeadline(time.Now().Add(time.Millisecond))
					c.Read(make([]byte, 200))
				}
				c.SetLinger(0)
				c.Close()
			}
		})
	}
	wg.Wait()
	say(t, stays, "still here")
	for read(t, stays) != "still here" {
	}
}

// A connection that pipelines without end leaves the others their turns.
func TestPipelinerLeavesTurns(t *testing.T) { onBothWires(t, testPipelinerLeavesTurns) }

func testPipelinerLeavesTurns(t *testing.T, w wire) {
	s := &Server{Loops: 1}
	s.Route("/echo", Route{Message: echo})
	addr := start(t, w.server(s))
	flooder := w.open(t, addr, "/echo")
	flood := []byte(strings.Repeat(string(masked(frame.OpText, nil)), 10_000))
	stop := make(chan bool)
	var wg sync.WaitGroup
	wg.Go(func() { io.Copy(io.Discard, flooder) })
	wg.Go(func() {
		for {
			select {
			case <-stop:
				flooder.CloseWrite()
				return
			default:
				if _, err := flooder.Write(flood); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for range w.some(100) {
		c := w.dial(t, addr, "/echo")
		say(t, c, "x")
		read(t, c)
		c.Close()
	}
	close(stop)
	wg.Wait()
}
