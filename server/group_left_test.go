//go:build linux

package server

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/stream"
)

// lefts is a server whose connections join what the test says, and what became of them.
type lefts struct {
	*Server
	addr   string
	joins  chan []*Group // what the next one joins
	opened chan Conn
	told   chan string
}

func startLefts(t *testing.T, mw ...Middleware) *lefts {
	x := &lefts{Server: &Server{Loops: 1, MaxConnsPerIP: 1}, joins: make(chan []*Group, 1),
		opened: make(chan Conn, 1), told: make(chan string, 100)}
	x.Route("/{user}", Route{
		Middleware: mw,
		Open: func(c Conn) error {
			for _, g := range <-x.joins {
				if err := g.Join(c); err != nil {
					t.Errorf("Join: %v", err)
				}
			}
			x.opened <- c
			return nil
		},
		Message: func(c Conn, m Message) error {
			if string(m.Data) == "hi" {
				x.told <- "hi"
			}
			return &CloseError{Code: frame.StatusNormalClosure}
		},
		Close: func(c Conn, _ error) { x.told <- "close of " + c.PathValue("user") },
	})
	x.addr = start(t, x.Server)
	return x
}

// group returns a group that tells its name and of whom its Left is called.
func (x *lefts) group(name string) *Group {
	return &Group{Left: func(c Conn) { x.told <- name + " of " + c.PathValue("user") }}
}

func (x *lefts) want(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	for range want {
		got = append(got, <-x.told)
	}
	slices.Sort(got[1:]) // groups are in no order
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// on runs f on the loop, and returns when it is done.
func (x *lefts) on(t *testing.T, f func(l *loop)) {
	t.Helper()
	done := make(chan bool)
	if err := x.loops[0].Post(func() { defer close(done); f(x.loops[0]) }); err != nil {
		t.Fatal(err)
	}
	<-done
}

// TestLeft: it is called behind Close, once for every group that the connection is still
// in, however the connection ends.
func TestLeft(t *testing.T) {
	x := startLefts(t)
	a, b, mute, quit := x.group("a"), x.group("b"), NewGroup(), x.group("quit")
	for _, end := range []func(c *websocket.Conn){
		func(c *websocket.Conn) { c.Close() },
		func(c *websocket.Conn) {
			say(t, c, "bye")
			closeOf(t, c)
			c.Close()
		},
	} {
		for _, all := range [][]*Group{nil, {mute}, {a}, {a, mute, b}, {quit, a}} {
			x.joins <- all
			c := dial(t, x.addr, "/alice")
			if err := quit.Leave(<-x.opened); err != nil {
				t.Fatal(err)
			}
			end(c)
			want := []string{"close of alice"}
			if slices.Contains(all, a) {
				want = append(want, "a of alice")
			}
			if slices.Contains(all, b) {
				want = append(want, "b of alice")
			}
			x.want(t, want...)
			eventually(t, "the place is free", func() bool { return x.total() == 0 })
			if len(x.told) != 0 || a.Len()+b.Len()+mute.Len()+quit.Len() != 0 {
				t.Errorf("told %q more, %d %d %d %d members", <-x.told, a.Len(), b.Len(), mute.Len(), quit.Len())
			}
		}
	}
}

// TestLeftThatFails: a panic and a Goexit in one Left take nothing from the others, nor
// from the loop.
func TestLeftThatFails(t *testing.T) {
	x := startLefts(t)
	for name, fail := range map[string]func(){"panic": func() { panic("as asked") }, "exit": runtime.Goexit} {
		failing := &Group{Left: func(c Conn) { x.told <- name; fail() }}
		x.joins <- []*Group{x.group("a"), failing, failing, x.group("z")}
		dial(t, x.addr, "/alice").Close()
		<-x.opened
		want := []string{"close of alice", "a of alice", name, "z of alice"}
		slices.Sort(want[1:])
		x.want(t, want...)
		eventually(t, "the place is free", func() bool { return x.total() == 0 })
	}
}

// TestLeftOfLateJoins: who joins what a connection that ends before the loop gets to that is
// told, too, and a Conn that is known to have ended is refused.
func TestLeftOfLateJoins(t *testing.T) {
	x := startLefts(t)
	g := &Group{}
	var end Conn
	g.Left = func(c Conn) { x.told <- fmt.Sprint("left ", c == end) }
	late := func(t *testing.T, ends func(l *loop)) {
		t.Helper()
		x.joins <- nil
		dial(t, x.addr, "/alice")
		end = <-x.opened
		x.on(t, func(l *loop) {
			if err := g.Join(end); err != nil {
				t.Errorf("Join: %v", err)
			}
			ends(l)
		})
		x.want(t, "close of alice", "left true")
		if err := g.Join(end); err != net.ErrClosed || g.Len() != 0 {
			t.Errorf("Join of the gone: got %v, %d members, want %v", err, g.Len(), net.ErrClosed)
		}
		eventually(t, "the place is free", func() bool { return x.total() == 0 })
	}
	late(t, func(l *loop) { l.At(end.slot).Cut(stream.ErrHangup) })
	late(t, func(l *loop) { l.drain.cut() }) // what is in the mailbox then is not done any more
}

// TestLeftAfterJobs: a connection whose peer has gone is left when its jobs are done.
func TestLeftAfterJobs(t *testing.T) {
	gate := make(chan bool)
	x := startLefts(t, Middleware{}, Offload(1), Middleware{Message: func(next MessageFunc) MessageFunc {
		return func(c Conn, m Message) error { <-gate; return next(c, m) }
	}})
	x.joins <- []*Group{x.group("a")}
	c := dial(t, x.addr, "/alice")
	<-x.opened
	say(t, c, "hi")
	eventually(t, "it is a job", func() bool { return x.loops[0].jobs.lines.n.Load() == 1 })
	c.UnderlyingConn().(*net.TCPConn).SetLinger(0)
	c.Close()
	eventually(t, "the end is noticed", func() (gone bool) {
		x.on(t, func(l *loop) { gone = l.At(1).State() == stream.Gone })
		return gone
	})
	if len(x.told) > 0 {
		t.Errorf("before the job was done: %q", <-x.told)
	}
	close(gate)
	x.want(t, "hi", "a of alice", "close of alice")
}

// TestLeftOfLateJoinsWithJobs: Left does not come before Close for a connection whose peer has
// gone, whose jobs have not, and which joins meanwhile.
func TestLeftOfLateJoinsWithJobs(t *testing.T) {
	gate := make(chan bool)
	open := sync.OnceFunc(func() { close(gate) })
	defer open()
	x := startLefts(t, Offload(1), Middleware{Message: func(next MessageFunc) MessageFunc {
		return func(c Conn, m Message) error { <-gate; return next(c, m) }
	}})
	x.joins <- nil
	client := dial(t, x.addr, "/alice")
	c, g, quit := <-x.opened, x.group("a"), x.group("quit")
	say(t, client, "hi")
	eventually(t, "it is a job", func() bool { return x.loops[0].jobs.lines.n.Load() == 1 })
	x.on(t, func(l *loop) {
		if err := errors.Join(quit.Join(c), g.Join(c), quit.Leave(c)); err != nil {
			t.Errorf("Join or Leave: %v", err)
		}
		l.At(c.slot).Cut(stream.ErrHangup)
	})
	x.on(t, func(*loop) {}) // it has joined, or was told that it cannot
	if len(x.told) > 0 {
		t.Fatalf("before the job was done: %q", <-x.told)
	}
	open()
	for _, want := range []string{"hi", "close of alice", "a of alice"} {
		if got := <-x.told; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	eventually(t, "the place is free", func() bool { return x.total() == 0 })
	if len(x.told) > 0 {
		t.Errorf("told %q, too", <-x.told)
	}
}
