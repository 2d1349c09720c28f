//go:build linux

package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/usher-ws/usher/frame"
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
	if a.gen&deflates == 0 || b.gen&deflates != 0 {
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
