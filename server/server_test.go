//go:build linux

package server

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/leak"
	"github.com/usher-ws/usher/internal/websocket"
)

// TestMain checks that no descriptor and no goroutine outlives the tests.
func TestMain(m *testing.M) {
	before := openFiles()
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if err := leak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, "goroutine leak:", err)
		code = 1
	}
	if after := openFiles(); after > before { // openFiles has had the runtime open its own
		fmt.Fprintf(os.Stderr, "fd leak: %d before, %d after\n", before, after)
		list, _ := os.ReadDir("/proc/self/fd")
		for _, f := range list {
			to, _ := os.Readlink("/proc/self/fd/" + f.Name())
			fmt.Fprintln(os.Stderr, f.Name(), to)
		}
		code = 1
	}
	os.Exit(code)
}

func openFiles() int {
	// The runtime's own poller opens its descriptors at first use: use it first.
	r, w, _ := os.Pipe()
	r.Close()
	w.Close()
	list, _ := os.ReadDir("/proc/self/fd")
	return len(list)
}

func echo(c Conn, m Message) error { return c.Send(m.Opcode, m.Data) }

// start runs s until the test ends, and returns its address.
func start(t testing.TB, s *Server) string {
	t.Helper()
	s.Addr = "127.0.0.1:0"
	if s.Drain == 0 {
		s.Drain = -1
	}
	if s.Logger == nil {
		s.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		if !s.life.isDraining() {
			if err := s.Shutdown(ctx); err != nil {
				t.Errorf("shutdown: %v", err)
			}
		}
		if err := s.Wait(); err != nil {
			t.Errorf("wait: %v", err)
		}
		for _, l := range s.loops {
			if n := l.count(); n != 0 {
				t.Errorf("loop %d ended with %d connections", l.ID(), n)
			}
			if n := l.Buffers.InUse(); n != 0 {
				t.Errorf("loop %d ended with %d bytes of buffers lent", l.ID(), n)
			}
			if n := l.Streams(); n != 0 {
				t.Errorf("loop %d counts %d connections at its end", l.ID(), n)
			}
			if n := l.places.Len(); n != 0 {
				t.Errorf("loop %d ended with %d interned values", l.ID(), n)
			}
		}
		if n := s.users.len(); n != 0 {
			t.Errorf("%d users, connections of theirs and identities are still there", n)
		}
		if n := s.total(); n != 0 {
			t.Errorf("%d connections are still counted", n)
		}
	})
	return s.Addrs()[0].String()
}

// count is how many connections the loop has.
func (l *loop) count() (n int) {
	for range l.All() {
		n++
	}
	return n
}

// dial opens a WebSocket.
func dial(t testing.TB, addr, path string) *websocket.Conn {
	t.Helper()
	c, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+path, nil)
	if err != nil {
		t.Fatalf("dial %s: %v (%v)", path, err, resp)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(time.Hour))
	return c
}

// say sends a text and read returns the next one.
func say(t testing.TB, c *websocket.Conn, text string) {
	t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatalf("write %q: %v", text, err)
	}
}

func read(t testing.TB, c *websocket.Conn) string {
	t.Helper()
	_, b, err := c.ReadMessage()
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return string(b)
}

// closed returns the close error the client reads next.
func closeOf(t testing.TB, c *websocket.Conn) *websocket.CloseError {
	t.Helper()
	for {
		_, _, err := c.ReadMessage()
		if e, ok := err.(*websocket.CloseError); ok {
			return e
		}
		if err != nil {
			t.Fatalf("want a close frame, got %v", err)
		}
	}
}

func TestEcho(t *testing.T) {
	s := &Server{Loops: 2}
	s.Route("/echo", Route{Message: echo})
	addr := start(t, s)
	for range 5 {
		c := dial(t, addr, "/echo")
		for _, text := range []string{"hello", "", strings.Repeat("x", 60_000)} {
			say(t, c, text)
			if got := read(t, c); got != text {
				t.Fatalf("got %d bytes, want %d", len(got), len(text))
			}
		}
		c.WriteControl(websocket.PingMessage, []byte("p"), time.Now().Add(time.Second))
		pong := make(chan string, 1)
		c.SetPongHandler(func(d string) error { pong <- d; return nil })
		for _, text := range []string{"with the ping", "after the pong"} {
			say(t, c, text)
			read(t, c)
		}
		if got := <-pong; got != "p" {
			t.Errorf("pong: got %q", got)
		}
		c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "bye"), time.Now().Add(time.Second))
		if e := closeOf(t, c); e.Code != 1000 {
			t.Errorf("close: got %v", e)
		}
	}
}

func TestHandlerFallThrough(t *testing.T) {
	s := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.Path, body)
	})}
	s.Route("/echo", Route{Message: echo})
	addr := start(t, s)
	resp, err := http.Post("http://"+addr+"/form", "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got, _ := io.ReadAll(resp.Body); string(got) != "POST /form body" {
		t.Errorf("got %q", got)
	}
	if !resp.Close {
		t.Error("the connection was kept alive")
	}
}

func TestGroup(t *testing.T) {
	s := &Server{Loops: 2}
	g := NewGroup()
	s.Route("/room", Route{
		Open:    func(c Conn) error { return g.Join(c) },
		Message: func(c Conn, m Message) error { return g.Send(m.Opcode, m.Data) },
	})
	addr := start(t, s)
	var all []*websocket.Conn
	for k := range 10 {
		c := dial(t, addr, "/room")
		all = append(all, c)
		say(t, c, fmt.Sprint("joined ", k))
		for _, m := range all {
			if got, want := read(t, m), fmt.Sprint("joined ", k); got != want {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	}
	all[3].UnderlyingConn().(*net.TCPConn).SetLinger(0)
	all[3].Close()
	all = append(all[:3], all[4:]...)
	say(t, all[0], "on")
	for _, m := range all {
		if got := read(t, m); got != "on" {
			t.Fatalf("got %q", got)
		}
	}
}

func TestDelayKeepsOrderAndRate(t *testing.T) {
	s := &Server{}
	s.Route("/echo", Route{Message: echo, Limits: Limits{Over: Delay}})
	s.routes[0].Limits.Messages.Limit = 1000
	s.routes[0].Limits.Messages.Burst = 10
	addr := start(t, s)
	c := dial(t, addr, "/echo")
	const n = 500
	begin := time.Now()
	for k := range n {
		say(t, c, fmt.Sprint(k))
	}
	for k := range n {
		if got := read(t, c); got != fmt.Sprint(k) {
			t.Fatalf("message %d: got %q", k, got)
		}
	}
	if took := time.Since(begin); took < (n-11)*time.Millisecond {
		t.Errorf("%d messages in %v: faster than the limit", n, took)
	}
}

func TestDrain(t *testing.T) {
	s := &Server{Drain: 300 * time.Millisecond}
	s.Route("/echo", Route{Message: echo})
	addr := start(t, s)
	var all []*websocket.Conn
	for range 20 {
		all = append(all, dial(t, addr, "/echo"))
	}
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	for _, c := range all {
		e := closeOf(t, c)
		if e.Code != 1001 || !strings.HasPrefix(e.Text, "draining; retry-after-ms=") {
			t.Errorf("got %v", e)
		}
		c.Close()
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
