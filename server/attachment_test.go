//go:build linux

package server

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/websocket"
)

// TestAttachment: each kind keeps its own values, they can be read until the last callback
// of their connection, and whoever gets the slot next has none.
func TestAttachment(t *testing.T) {
	var names Attachment[string]
	var counts Attachment[int]
	ends := make(chan string, 10)
	left := NewGroup()
	left.Left = func(c Conn) {
		name, ok := names.Get(c)
		ends <- fmt.Sprint("left ", name, " ", ok)
	}
	s := &Server{Loops: 1}
	s.Route("/{name}", Route{
		Open: func(c Conn) error {
			if name, ok := names.Get(c); ok {
				t.Errorf("%s begins with %q", c.PathValue("name"), name)
			}
			names.Set(c, c.PathValue("name"))
			return left.Join(c)
		},
		Message: func(c Conn, m Message) error {
			n, _ := counts.Get(c)
			counts.Set(c, n+1)
			if string(m.Data) == "forget" {
				names.Delete(c)
			}
			name, ok := names.Get(c)
			return c.Send(m.Opcode, fmt.Appendf(nil, "%s %v %d", name, ok, n+1))
		},
		Close: func(c Conn, _ error) {
			name, ok := names.Get(c)
			ends <- fmt.Sprint("close ", name, " ", ok)
		},
	})
	addr := start(t, s)
	for range 3 { // in the same slot
		c := dial(t, addr, "/alice")
		for k, want := range []string{"alice true 1", "alice true 2"} {
			say(t, c, "hi")
			if got := read(t, c); got != want {
				t.Errorf("message %d: got %q, want %q", k, got, want)
			}
		}
		c.Close()
		for _, want := range []string{"close alice true", "left alice true"} {
			if got := <-ends; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		eventually(t, "the slot is free", func() bool { return s.Sockets() == 0 })
	}
	c := dial(t, addr, "/bob")
	say(t, c, "forget")
	if got := read(t, c); got != " false 1" {
		t.Errorf("got %q", got)
	}
	for _, l := range s.loops {
		done := make(chan bool)
		if err := l.Post(func() {
			if n := len(names.of(l)) + len(counts.of(l)); n != 1 {
				t.Errorf("%d values are kept, want the one of the connection there is", n)
			}
			close(done)
		}); err != nil {
			t.Fatal(err)
		}
		<-done
	}
}

// TestSubprotocolOfEach: connections of one path with different subprotocols are told apart.
func TestSubprotocolOfEach(t *testing.T) {
	s := &Server{}
	s.Route("/", Route{
		Subprotocols: []string{"one", "two"},
		Message:      func(c Conn, m Message) error { return c.Send(m.Opcode, []byte(c.Subprotocol())) },
	})
	addr := start(t, s)
	for _, want := range []string{"one", "", "two", "one", ""} {
		d := websocket.Dialer{}
		if want != "" {
			d.Subprotocols = []string{want}
		}
		c, _, err := d.Dial("ws://"+addr+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		say(t, c, "which?")
		if got := read(t, c); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestGroupClose: the members are closed behind what was published before, on all loops, and
// others are not.
func TestGroupClose(t *testing.T) {
	g := NewGroup()
	s := &Server{Loops: 3}
	joined := make(chan bool, 20)
	s.Route("/in", Route{Open: func(c Conn) error { defer func() { joined <- true }(); return g.Join(c) }})
	s.Route("/out", Route{Message: echo})
	addr := start(t, s)
	out := dial(t, addr, "/out")
	var in []*websocket.Conn
	for range 12 {
		in = append(in, dial(t, addr, "/in"))
		<-joined
	}
	eventually(t, "all are members", func() bool { return g.Len() == len(in) })
	if err := g.Close(1005, ""); err == nil {
		t.Error("1005 is for the wire")
	}
	if err := g.Send(frame.OpText, []byte("last")); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(4403, "banned"); err != nil {
		t.Fatal(err)
	}
	for k, c := range in {
		if got := read(t, c); got != "last" {
			t.Errorf("member %d: got %q", k, got)
		}
		if e := closeOf(t, c); e.Code != 4403 || e.Text != "banned" {
			t.Errorf("member %d: got %v", k, e)
		}
	}
	say(t, out, "hi")
	if got := read(t, out); got != "hi" {
		t.Errorf("got %q from one that was no member", got)
	}
	eventually(t, "nobody is a member", func() bool { return g.Len() == 0 })
}

// TestGroupCloseBesideJobs: Group.Close is to each member what Conn.Close is. A job that has
// begun is waited for, those that have not are dropped, and the first end counts.
func TestGroupCloseBesideJobs(t *testing.T) {
	w := newWorkshop()
	var g Group
	left := make(chan string, 10)
	g.Left = func(c Conn) { left <- c.PathValue("room") }
	r := w.route(1)
	r.Open = func(c Conn) error { return g.Join(c) }
	s := &Server{Loops: 1}
	s.Route("/work/{room}", r)
	addr := start(t, s)
	conns := map[string]*websocket.Conn{}
	for _, room := range []string{"begun", "waiting", "idle", "leaving"} { // in this order
		conns[room] = dial(t, addr, "/work/"+room)
	}
	// has returns how many jobs there are, and how many connections that wait for their end.
	has := func() (jobs, ending int) {
		counted := make(chan bool)
		if err := s.loops[0].Post(func() {
			defer close(counted)
			for c := range s.loops[0].All() {
				if q := c.Extra().line; q != nil {
					jobs += q.open
				}
				if c.Data().facts.state() == winding {
					ending++
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
		<-counted
		return jobs, ending
	}
	say(t, conns["begun"], "1")
	eventually(t, "it has begun", func() bool { return w.began.Load() == 1 })
	say(t, conns["begun"], "2")
	say(t, conns["waiting"], "3")
	say(t, conns["leaving"], "4")
	_ = conns["leaving"].WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Time{})
	eventually(t, "there are jobs", func() bool {
		jobs, ending := has()
		return jobs == 4 && ending == 1
	})
	if err := g.Close(4403, "banned"); err != nil {
		t.Fatal(err)
	}
	for room, code := range map[string]int{"waiting": 4403, "idle": 4403, "leaving": 1000} {
		if e := closeOf(t, conns[room]); e.Code != code {
			t.Errorf("%s: closed with %v, want %d", room, e, code)
		}
	}
	if g.Len() != 1 || len(w.closed) != 3 {
		t.Errorf("%d members and %d ends, want the one whose job has begun and 3", g.Len(), len(w.closed))
	}
	w.let(4)
	if err := <-w.said; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Send: got %v", err)
	}
	if e := closeOf(t, conns["begun"]); e.Code != 4403 || e.Text != "banned" {
		t.Errorf("begun: closed with %v", e)
	}
	var ends []string
	for range conns {
		ends = append(ends, <-w.closed)
		<-left
	}
	slices.Sort(ends)
	want := []string{"1000 after 1 in leaving", "4403 after 1 in begun", "4403 after 1 in idle", "4403 after 1 in waiting"}
	if !slices.Equal(ends, want) || len(left) > 0 || g.Len() != 0 {
		t.Errorf("got %q, want %q; %d more were told to have left, %d are members", ends, want, len(left), g.Len())
	}
}
