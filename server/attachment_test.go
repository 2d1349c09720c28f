//go:build linux

package server

import (
	"fmt"
	"testing"

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
