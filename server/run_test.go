//go:build linux

package server

import (
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/websocket"
)

// TestRunInOrder: a Run takes its place behind what its caller has asked for before, and in
// a callback it is called when that is over.
func TestRunInOrder(t *testing.T) {
	s := &Server{Loops: 1}
	opened := make(chan Conn, 1)
	g := NewGroup()
	var steps []string // the loop's
	s.Route("/", Route{
		Open: func(c Conn) error { opened <- c; return g.Join(c) },
		Message: func(c Conn, m Message) error {
			err := c.Run(func(c Conn) { steps = append(steps, "later"); _ = c.Send(frame.OpText, []byte("later")) })
			steps = append(steps, "first")
			_ = c.Send(frame.OpText, []byte("first"))
			return err
		},
	})
	client := dial(t, start(t, s), "/")
	c := <-opened
	say(t, client, "x")
	read(t, client)
	read(t, client)
	text := func(s string) []byte { return []byte(s) }
	_ = c.Send(frame.OpText, text("1"))
	_ = g.Send(frame.OpText, text("2"))
	on(t, c, func(c Conn) { _ = c.Send(frame.OpText, text("3")) })
	_ = c.Run(func(Conn) { steps = append(steps, "a") })
	_ = c.Run(func(Conn) { steps = append(steps, "b") })
	_ = c.Run(func(Conn) { steps = append(steps, "c") })
	_ = g.Send(frame.OpText, text("4"))
	_ = c.Close(frame.StatusNormalClosure, "")
	if err := c.Run(func(Conn) { steps = append(steps, "never") }); err != net.ErrClosed {
		t.Errorf("after Close: %v", err)
	}
	for _, want := range []string{"1", "2", "3", "4"} {
		if got := read(t, client); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if e := closeOf(t, client); e.Code != 1000 {
		t.Error(e)
	}
	client.Close()
	eventually(t, "it is gone", func() bool { return s.total() == 0 })
	if want := strings.Fields("first later a b c"); !slices.Equal(steps, want) {
		t.Errorf("got %q, want %q", steps, want)
	}
	if said, ok := panicOf(func() { _ = c.Run(nil) }).(string); !ok || !strings.Contains(said, "Conn.Run") {
		t.Errorf("Run(nil): %q", said)
	}
}

// TestRunsSayInOrder: what a Run says does not overtake what one before it has said, which
// went to the mailbox since something was asked for already.
func TestRunsSayInOrder(t *testing.T) {
	s := &Server{Loops: 1}
	s.Route("/", Route{Message: func(c Conn, m Message) error {
		return c.Run(func(c Conn) {
			_ = c.Run(func(c Conn) { _ = c.Send(frame.OpText, []byte("2")) })
			_ = c.Send(frame.OpText, []byte("1"))
		})
	}})
	client := dial(t, start(t, s), "/")
	say(t, client, "x")
	for _, want := range []string{"1", "2"} {
		if got := read(t, client); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestRunIsBounded: a loop that is held up takes so many Runs and no more, all of which it
// carries out.
func TestRunIsBounded(t *testing.T) {
	s := &Server{Loops: 1, MaxBuffered: 64 << 10, MaxBacklog: 64 << 10}
	opened, held, gate := make(chan Conn, 1), make(chan bool), make(chan bool)
	s.Route("/", Route{Open: func(c Conn) error { opened <- c; return nil }})
	dial(t, start(t, s), "/")
	c := <-opened
	_ = c.Run(func(Conn) { close(held); <-gate })
	<-held
	accepted, called := 0, 0
	for {
		err := c.Run(func(Conn) { called++ })
		if err == nil {
			if accepted++; accepted > 10<<20/entryCost {
				t.Fatal("there is no bound")
			}
			continue
		}
		if err != ErrBacklog {
			t.Errorf("got %v", err)
		}
		break
	}
	close(gate)
	eventually(t, "there is room", func() bool { return c.Run(func(Conn) {}) == nil })
	on(t, c, func(Conn) {
		if called != accepted {
			t.Errorf("%d of %d were called", called, accepted)
		}
	})
}

// TestRunThatFails: a panic and a Goexit end their connection with 1011, and no other.
func TestRunThatFails(t *testing.T) {
	s := &Server{Loops: 1}
	opened := make(chan Conn, 1)
	s.Route("/", Route{Open: func(c Conn) error { opened <- c; return nil }, Message: echo})
	addr := start(t, s)
	other := dial(t, addr, "/")
	<-opened
	for name, fail := range map[string]func(){"panic": func() { panic("as asked") }, "exit": runtime.Goexit} {
		client := dial(t, addr, "/")
		c := <-opened
		_ = c.Run(func(c Conn) { _ = c.Send(frame.OpText, []byte("said")); fail() })
		if got := read(t, client); got != "said" {
			t.Errorf("%s: got %q", name, got)
		}
		if e := closeOf(t, client); e.Code != 1011 {
			t.Errorf("%s: closed with %v", name, e)
		}
		say(t, other, name)
		if got := read(t, other); got != name {
			t.Errorf("%s: the other heard %q", name, got)
		}
	}
}

// TestRunWhileHeld: what a Run says to a peer that takes nothing is within MaxBacklog, too.
func TestRunWhileHeld(t *testing.T) {
	const most, size = 256 << 10, 32 << 10
	s := &Server{Loops: 1, MaxBacklog: most}
	opened := make(chan Conn, 1)
	s.Route("/", Route{Overflow: DropNewest, Open: func(c Conn) error { opened <- c; return nil }})
	rawDial(t, start(t, s), "/")
	c := <-opened
	b := make([]byte, size)
	full := 0
	for full < 3 {
		on(t, c, func(c Conn) {
			err := c.Send(frame.OpBinary, b)
			for k := 0; err == nil && c.Buffered() > 0 && k < 100; k++ {
				err = c.Send(frame.OpBinary, b)
			}
			if err == ErrBacklog {
				full++
			} else if err != nil {
				t.Error(err)
				full = 3
			}
		})
	}
	on(t, c, func(c Conn) {
		if n := c.Buffered(); n == 0 || n > most+size+frameHeader {
			t.Errorf("%d bytes wait, want %d at most, and one message", n, most)
		}
	})
}

// TestRunBesideJobs: a Run does not wait for jobs, nor when the connection only waits for
// these to end.
func TestRunBesideJobs(t *testing.T) {
	s := &Server{Loops: 1}
	opened, in, gate := make(chan Conn, 1), make(chan bool), make(chan bool)
	closed := make(chan error, 1)
	s.Route("/", Route{
		Middleware: []Middleware{Offload(1)},
		Open:       func(c Conn) error { opened <- c; return nil },
		Message:    func(Conn, Message) error { in <- true; <-gate; return nil },
		Close:      func(_ Conn, err error) { closed <- err },
	})
	client := dial(t, start(t, s), "/")
	c := <-opened
	say(t, client, "x")
	<-in
	on(t, c, func(c Conn) { c.SetData("kept"); _ = c.Send(frame.OpText, []byte("at once")) })
	if got := read(t, client); got != "at once" {
		t.Errorf("got %q", got)
	}
	_ = client.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Time{})
	eventually(t, "it is winding", func() (is bool) {
		on(t, c, func(c Conn) { is = c.loop.At(c.slot).Data().facts.state() == winding })
		return is
	})
	on(t, c, func(c Conn) {
		if c.Data() != "kept" {
			t.Errorf("Data: %v", c.Data())
		}
	})
	_ = c.Run(func(Conn) { panic("too late to matter") })
	close(gate)
	if e := closeOf(t, client); e.Code != 1000 {
		t.Errorf("closed with %v: the first end counts", e)
	}
	if err, ok := (<-closed).(*CloseError); !ok || err.Code != 1000 {
		t.Errorf("Close was told %v", err)
	}
}

// TestRunFromMany: however many ask while connections come and go and the server drains, f is
// called once at most, on the loop, before Close, and not after an error.
func TestRunFromMany(t *testing.T) {
	s := &Server{Loops: 2, Drain: time.Second}
	type state struct{ runs int }
	var states Attachment[*state]
	opened := make(chan Conn, 100)
	over := make(map[Conn]bool)
	var mu sync.Mutex
	s.Route("/", Route{
		Open: func(c Conn) error { states.Set(c, new(state)); opened <- c; return nil },
		Close: func(c Conn, _ error) {
			mu.Lock()
			defer mu.Unlock()
			over[c] = true
		},
	})
	addr := start(t, s)
	var wg sync.WaitGroup
	for k := range 20 {
		client := dial(t, addr, "/")
		c := <-opened
		for range 4 {
			wg.Go(func() {
				for n := 1; n <= 200; n++ {
					failed := false
					err := c.Run(func(c Conn) {
						v, ok := states.Get(c)
						mu.Lock()
						defer mu.Unlock()
						if !ok || failed || over[c] {
							t.Errorf("called after the end, or an error: %v %v %v", ok, failed, over[c])
							return
						}
						v.runs++
					})
					mu.Lock()
					failed = err != nil
					mu.Unlock()
					if err == net.ErrClosed {
						return
					}
					if k%2 == 0 && n == 50 {
						client.UnderlyingConn().Close()
					}
				}
			})
		}
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	wg.Wait()
}
