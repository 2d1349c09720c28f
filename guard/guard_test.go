//go:build linux

package guard

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/server"
)

// front starts a server with a guard in front of an application.
func front(t *testing.T, g *Guard, srv *server.Server) (url string) {
	t.Helper()
	srv.Route("/delay", server.Route{Relay: g.Relay(), Limits: server.Limits{Messages: limiter.Rate{Limit: 1000, Burst: 1}, Over: server.Delay}})
	srv.Route("/close", server.Route{Relay: g.Relay(), Limits: server.Limits{Messages: limiter.Rate{Limit: limiter.Every(time.Hour), Burst: 2}, Over: server.Disconnect}})
	srv.Route("/{path...}", server.Route{Relay: g.Relay()})
	return begin(t, srv)
}

// frontAt starts a server with a route at its root.
func frontAt(t *testing.T, srv *server.Server, r server.Route) (url string) {
	t.Helper()
	srv.Route("/", r)
	return begin(t, srv)
}

// begin starts a server.
func begin(t *testing.T, srv *server.Server) (url string) {
	t.Helper()
	srv.Addr, srv.Logger = "127.0.0.1:0", slog.New(slog.NewTextHandler(t.Output(), nil))
	srv.Loops = max(srv.Loops, 1)
	if err := srv.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cut, cancel := context.WithCancel(context.Background())
		cancel()
		_ = srv.Shutdown(cut)
		if err := srv.Wait(); err != nil {
			t.Error(err)
		}
		if n := srv.Stats().Buffered; n != 0 {
			t.Errorf("%d bytes are still lent", n)
		}
	})
	return "ws://" + srv.Addrs()[0].String()
}

// application serves what f does with a connection, with gorilla/websocket.
func application(t *testing.T, f func(c *websocket.Conn)) *Guard {
	t.Helper()
	up := websocket.Upgrader{EnableCompression: true, ReadBufferSize: 1 << 10}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := up.Upgrade(w, r, nil)
		if err != nil {
			t.Errorf("the application: %v", err)
			return
		}
		defer c.Close()
		f(c)
	}))
	t.Cleanup(srv.Close)
	return &Guard{Upstream: open(t, Upstreams{URLs: []string{srv.URL}})}
}

// open opens a Pool.
func open(t *testing.T, of Upstreams) *Pool {
	t.Helper()
	return openIn(t, of, resolver{net.DefaultResolver.LookupNetIP, lookUpEvery, lookUpAgain})
}

// openIn opens a Pool in a world of other names.
func openIn(t *testing.T, of Upstreams, by resolver) *Pool {
	t.Helper()
	of.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	p, err := openBy(of, by)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func echo(c *websocket.Conn) {
	for {
		kind, b, err := c.ReadMessage()
		if err != nil || c.WriteMessage(kind, b) != nil {
			return
		}
	}
}

func connect(t *testing.T, url string) *websocket.Conn {
	t.Helper()
	d := websocket.Dialer{EnableCompression: true}
	c, resp, err := d.Dial(url, nil)
	if err != nil {
		t.Fatalf("%v, %+v", err, resp)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestMessages: messages of all lengths come back through the guard, compressed or not, in one
// frame or many, and so do pings.
func TestMessages(t *testing.T) {
	url := front(t, application(t, echo), &server.Server{MaxMessage: 1 << 20})
	for _, compressed := range []bool{false, true} {
		c := connect(t, url+"/ws")
		c.EnableWriteCompression(compressed)
		pongs := make(chan string, 10)
		c.SetPongHandler(func(s string) error { pongs <- s; return nil })
		for _, n := range []int{0, 1, 125, 126, 65_535, 65_536, 1 << 20, 5} {
			want := bytes.Repeat([]byte("ö-"), n/3+1)[:n]
			said := make(chan bool)
			go func() {
				defer close(said)
				w, _ := c.NextWriter(websocket.BinaryMessage) // a frame for each 4 KiB
				for b := range slices.Chunk(want, 1000) {
					_, _ = w.Write(b)
				}
				w.Close()
			}()
			kind, got, err := c.ReadMessage()
			if err != nil || kind != websocket.BinaryMessage || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes: got %d of kind %d, %v", n, len(got), kind, err)
			}
			<-said
		}
		if err := c.WriteControl(websocket.PingMessage, []byte("there?"), time.Time{}); err != nil {
			t.Fatal(err)
		}
		_ = c.WriteMessage(websocket.TextMessage, []byte("x"))
		if _, got, err := c.ReadMessage(); string(got) != "x" || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
		if got := <-pongs; got != "there?" {
			t.Errorf("pong %q", got)
		}
	}
}

// TestApplications: one that is behind TLS, or a unix socket, is an application like any other.
func TestApplications(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := new(websocket.Upgrader).Upgrade(w, r, nil); err == nil {
			defer c.Close()
			echo(c)
		}
	})
	secure := httptest.NewTLSServer(handler)
	t.Cleanup(secure.Close)
	roots := x509.NewCertPool()
	roots.AddCert(secure.Certificate())
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	local := httptest.NewUnstartedServer(handler)
	local.Listener.Close()
	local.Listener = l
	local.Start()
	t.Cleanup(local.Close)
	for name, of := range map[string]Upstreams{
		"tls":  {URLs: []string{secure.URL}, TLS: &tls.Config{RootCAs: roots}},
		"unix": {URLs: []string{"unix:" + path}},
	} {
		c := connect(t, front(t, &Guard{Upstream: open(t, of)}, &server.Server{MaxMessage: 1 << 20}))
		for _, n := range []int{0, 5, 1 << 20} {
			_ = c.WriteMessage(websocket.BinaryMessage, make([]byte, n))
			if _, got, err := c.ReadMessage(); err != nil || len(got) != n {
				t.Fatalf("%s: got %d bytes of %d, %v", name, len(got), n, err)
			}
		}
	}
	g := &Guard{Upstream: open(t, Upstreams{URLs: []string{secure.URL}})}
	if _, resp, _ := websocket.DefaultDialer.Dial(front(t, g, new(server.Server)), nil); resp == nil || resp.StatusCode != 502 {
		t.Errorf("a certificate that nobody vouches for: got %+v", resp)
	}
}

// TestBroken: what breaks the protocol or the limits reaches no application.
func TestBroken(t *testing.T) {
	heard := make(chan error, 1)
	url := front(t, application(t, func(c *websocket.Conn) {
		_, _, err := c.ReadMessage()
		heard <- err
	}), &server.Server{MaxMessage: 1000})
	for in, code := range map[string]int{
		"\x82\x81abcdx\xff": 1002, "\x83\x80abcd": 1002, "\x82\xfe\x10\x00abcd": 1009,
	} {
		c := connect(t, url)
		_, _ = io.WriteString(c.NetConn(), in)
		if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, code) {
			t.Errorf("%q: the client heard %v, want %d", in, err, code)
		}
		if err := <-heard; err != nil && !isClose(err, 1001, "") {
			t.Errorf("%q: the application heard %v", in, err)
		}
	}
}

// TestLimits: messages over a limit wait, in their order, or end the connection before they
// have begun to reach the application.
func TestLimits(t *testing.T) {
	heard := make(chan error, 1)
	url := front(t, application(t, func(c *websocket.Conn) {
		for {
			kind, b, err := c.ReadMessage()
			if err != nil {
				heard <- err
				return
			}
			_ = c.WriteMessage(kind, b)
		}
	}), new(server.Server))
	c := connect(t, url+"/delay")
	c.EnableWriteCompression(false)
	var all []byte
	const messages = 50
	for k := range messages {
		all = (&frame.Config{Client: true}).AppendFrame(all, frame.OpBinary, []byte{byte(k)}, nil)
	}
	began := time.Now()
	if _, err := c.NetConn().Write(all); err != nil {
		t.Fatal(err)
	}
	for k := range messages {
		if _, b, err := c.ReadMessage(); err != nil || len(b) != 1 || b[0] != byte(k) {
			t.Fatalf("message %d: got %v, %v", k, b, err)
		}
	}
	if took := time.Since(began); took < (messages-2)*time.Millisecond {
		t.Errorf("%d messages took %v at 1,000 a second", messages, took)
	}
	c.Close()
	<-heard
	c = connect(t, url+"/close")
	for range 3 {
		_ = c.WriteMessage(websocket.BinaryMessage, make([]byte, 10_000))
	}
	n := 0
	for ; ; n++ {
		if _, _, err := c.ReadMessage(); err != nil {
			if !websocket.IsCloseError(err, 1008) {
				t.Errorf("the client heard %v, want 1008", err)
			}
			break
		}
	}
	if n > 2 {
		t.Errorf("%d messages came back, want 2 at most", n)
	}
	if err := <-heard; !isClose(err, 1001, "") {
		t.Errorf("the application heard %v", err)
	}
}

// TestSlowReader: a side that reads nothing stops the other, and neither waits for the other
// to be read from: what both say at once arrives when they read.
func TestSlowReader(t *testing.T) {
	const messages, size = 800, 100_000 // more than all kernels on the way take
	heard, over := make(chan int, 1), make(chan bool)
	url := front(t, application(t, func(c *websocket.Conn) {
		c.EnableWriteCompression(false)
		go func() { // at any time
			n := 0
			for ; n < messages; n++ {
				if _, b, err := c.ReadMessage(); err != nil || len(b) != size {
					break
				}
			}
			heard <- n
		}()
		for range messages {
			if c.WriteMessage(websocket.BinaryMessage, make([]byte, size)) != nil {
				break
			}
		}
		<-over
	}), &server.Server{MaxMessage: size})
	defer close(over)
	c := connect(t, url)
	c.EnableWriteCompression(false)
	for range messages { // and only then reads
		if err := c.WriteMessage(websocket.BinaryMessage, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	if n := <-heard; n != messages {
		t.Errorf("%d messages arrived, want %d", n, messages)
	}
	for k := range messages {
		if _, b, err := c.ReadMessage(); err != nil || len(b) != size {
			t.Fatalf("message %d: %d bytes, %v", k, len(b), err)
		}
	}
}
