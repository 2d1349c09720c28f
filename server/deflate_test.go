//go:build linux

package server

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/vectors"
	"github.com/usher-ws/usher/internal/websocket"
)

func dialDeflate(t *testing.T, addr, path string) *websocket.Conn {
	t.Helper()
	d := websocket.Dialer{EnableCompression: true}
	c, resp, err := d.Dial("ws://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(time.Hour))
	if got := resp.Header.Get("Sec-WebSocket-Extensions"); !strings.HasPrefix(got, "permessage-deflate") {
		t.Fatalf("extensions: got %q", got)
	}
	return c
}

// Compressed and plain connections hear the same, by all the ways a message goes.
func TestDeflate(t *testing.T) {
	s := &Server{Deflate: true}
	g := NewGroup()
	conns := make(chan Conn, 2)
	s.Route("/room", Route{
		Open: func(c Conn) error { conns <- c; return g.Join(c) },
		Message: func(c Conn, m Message) error {
			if strings.HasPrefix(string(m.Data), "all ") {
				return g.Send(m.Opcode, m.Data)
			}
			return c.Send(m.Opcode, m.Data)
		},
	})
	addr := start(t, s)
	small, big := dialDeflate(t, addr, "/room"), dial(t, addr, "/room")
	a, b := <-conns, <-conns
	if a.window() != frame.MaxWindow || b.window() != 0 {
		t.Error("the connections do not know who deflates")
	}
	text := strings.Repeat("the same again, ", 1000)
	for _, c := range []*websocket.Conn{small, big} {
		for _, echo := range []string{text, "short", ""} {
			say(t, c, echo)
			if got := read(t, c); got != echo {
				t.Fatalf("echo of %d bytes: got %d", len(echo), len(got))
			}
		}
	}
	for range 3 {
		say(t, small, "all "+text)
	}
	p := frame.Prepare(frame.OpText, []byte(text))
	for k, c := range []*websocket.Conn{small, big} {
		for range 3 {
			if got := read(t, c); got != "all "+text {
				t.Fatalf("published: got %d bytes", len(got))
			}
		}
		if err := []Conn{a, b}[k].SendPrepared(p); err != nil {
			t.Fatal(err)
		}
		if got := read(t, c); got != text {
			t.Fatalf("prepared: got %d bytes", len(got))
		}
	}
}

func TestBombIsTooBig(t *testing.T) {
	s := &Server{Deflate: true}
	s.Route("/echo", Route{Message: echo})
	c := dialDeflate(t, start(t, s), "/echo")
	c.SetCompressionLevel(9)
	say(t, c, strings.Repeat("0", 16<<20))
	if e := closeOf(t, c); e.Code != 1009 {
		t.Errorf("closed with %v", e)
	}
}

func TestNoDeflateUnlessAsked(t *testing.T) {
	s := &Server{}
	s.Route("/echo", Route{Message: echo})
	d := websocket.Dialer{EnableCompression: true}
	c, resp, err := d.Dial("ws://"+start(t, s)+"/echo", http.Header{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := resp.Header.Get("Sec-WebSocket-Extensions"); got != "" {
		t.Errorf("extensions: got %q, want none", got)
	}
}

// Members of a group with all the windows there are read what is published, each within
// its own window; and of one message there are two compressed encodings at most. What is
// said to one of them by other ways is within its window, too.
func TestWindows(t *testing.T) {
	s := &Server{Deflate: true}
	g := NewGroup()
	s.Route("/room", Route{
		Open:    func(c Conn) error { return g.Join(c) },
		Message: func(c Conn, m Message) error { return c.Send(m.Opcode, m.Data) },
	})
	b := newBench(t, s)
	var conns []pair
	for _, w := range []frame.Window{0, 8, 9, 10, 11, 12, 13, 14, 15, 12, 0} {
		b.openWith("/room", w)
		b.drive.Wake()
		conns = append(conns, pair{b.s, b.peer})
	}
	if got, want := g.windowsNow(), [encodings]frame.Window{narrow: 8, wide: 15}; got != want {
		t.Fatalf("windows: got %v, want %v", got, want)
	}
	// It repeats what is farther back than any window but the widest.
	long := []byte(strings.Repeat("the usher checks your ticket ", 300) + strings.Repeat("and seats a very large audience ", 650))
	long = append(long, long...)
	hears := func(p pair, n int) {
		t.Helper()
		w := p.s.Data().frame.Window()
		b.peer = p.peer
		rest := []byte(b.receive())
		for range n {
			h, at, err := frame.ParseHeader(rest)
			if err != nil || at == 0 || h.Length > int64(len(rest)-at) || (h.Rsv != 0) != (w != 0) {
				t.Fatalf("window %d: got header %+v, %v", w, h, err)
			}
			msg, far := rest[at:][:h.Length], 0
			rest = rest[at+int(h.Length):]
			if h.Rsv != 0 {
				if msg, far, err = vectors.Inflate(msg); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(msg, long) || far > 1<<w {
				t.Fatalf("window %d: got %d bytes that refer back %d", w, len(msg), far)
			}
		}
		if len(rest) > 0 {
			t.Fatalf("window %d: %d bytes more", w, len(rest))
		}
	}
	for n := range 3 { // alone, and several in one go
		for range n {
			g.Send(frame.OpText, long)
		}
		b.settle()
		for _, p := range conns {
			hears(p, n)
		}
	}
	m := frame.Prepare(frame.OpText, long)
	for _, p := range conns {
		c := b.l.conn(p.s)
		b.peer = p.peer
		b.send(string(masked(frame.OpText, long)))
		b.drive.Readable(p.s)
		c.SendPrepared(m)
		c.Send(frame.OpText, long)
		b.drive.Wake()
		hears(p, 3)
	}
	for k, p := range conns {
		b.peer = p.peer
		b.s = p.s
		b.gone()
		w := g.windowsNow()
		if want := frame.Window(9 + k - 1); k >= 1 && k < 5 && w[narrow] != want {
			t.Errorf("when %d are gone: got %v, want the narrowest to be %d", k+1, w, want)
		}
	}
	if got := g.windowsNow(); got != [encodings]frame.Window{} || g.Len() != 0 {
		t.Errorf("when all are gone: got %v of %d members", got, g.Len())
	}
}
