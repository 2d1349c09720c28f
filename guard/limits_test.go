//go:build linux

package guard

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	"github.com/gorilla/websocket"
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/server"
)

// small has what has more bytes than this in a frame always be over the limit, and nothing else.
const small = 1000

var smallOnly = limiter.Rate{Limit: 1e9, Burst: small}

// remembering serves an echo that compresses with what it has said before, as its clients may.
func remembering(t *testing.T) *Guard {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := coder.Accept(w, r, &coder.AcceptOptions{CompressionMode: coder.CompressionContextTakeover, CompressionThreshold: 1})
		if err != nil {
			t.Errorf("the application: %v", err)
			return
		}
		defer c.CloseNow()
		for {
			kind, b, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), kind, b) != nil {
				return
			}
		}
	}))
	t.Cleanup(srv.Close)
	return &Guard{Upstream: open(t, Upstreams{URLs: []string{srv.URL}})}
}

// remember connects a client that compresses with what it has said before, if it may.
func remember(t *testing.T, url string) (c *coder.Conn, extensions string) {
	t.Helper()
	c, resp, err := coder.Dial(t.Context(), url, &coder.DialOptions{CompressionMode: coder.CompressionContextTakeover, CompressionThreshold: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.CloseNow() })
	return c, resp.Header.Get("Sec-WebSocket-Extensions")
}

// incompressible is a text that no compression makes small.
func incompressible(n int) string {
	var b strings.Builder
	for k := uint64(1); b.Len() < n; k++ {
		fmt.Fprintf(&b, "%x", k*0x9E3779B97F4A7C15)
	}
	return b.String()[:n]
}

// TestDrop: every second compressed message is left out, and the others arrive as they were, since
// none of them refers to one that did not.
func TestDrop(t *testing.T) {
	srv := new(server.Server)
	limits := server.Limits{Bytes: smallOnly, Over: server.Drop}
	url := frontLimited(t, remembering(t), srv, limits)
	c, extensions := remember(t, url)
	if !strings.Contains(extensions, "client_no_context_takeover") {
		t.Errorf("extensions: %q", extensions)
	}
	big := incompressible(8 * small)
	for k := range 20 {
		if err := c.Write(t.Context(), coder.MessageText, []byte(big)); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprint(big[:500], k) // that were a reference to the one before
		if err := c.Write(t.Context(), coder.MessageText, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if _, got, err := c.Read(t.Context()); err != nil || string(got) != want {
			t.Fatalf("message %d: got %d bytes, %v", k, len(got), err)
		}
	}
	if got := srv.LimitStats(); len(got) != 1 || got[0].Action != "drop" || got[0].Count != 20 {
		t.Errorf("counted: %+v, want 20 dropped", got)
	}
}

// TestDropAfterReload: a client that was let in when nothing could be left out, and compresses with
// what it has said, cannot go on without a message: it is closed. What is not compressed is left
// out.
func TestDropAfterReload(t *testing.T) {
	srv := new(server.Server)
	limits := server.Limits{Bytes: smallOnly, Over: server.Delay}
	url := frontLimited(t, remembering(t), srv, limits)
	c, extensions := remember(t, url)
	if strings.Contains(extensions, "client_no_context_takeover") {
		t.Errorf("extensions: %q", extensions)
	}
	plain, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	p := srv.Policy()
	limits.Over = server.Drop
	p.Routes["/"] = server.RoutePolicy{Limits: limits}
	if err := srv.SetPolicy(p); err != nil {
		t.Fatal(err)
	}
	big := []byte(incompressible(8 * small))
	for range 3 {
		_ = plain.WriteMessage(websocket.TextMessage, big)
		_ = plain.WriteMessage(websocket.TextMessage, []byte("x"))
		if _, got, err := plain.ReadMessage(); err != nil || string(got) != "x" {
			t.Fatalf("got %.9q, %v", got, err)
		}
	}
	_ = c.Write(t.Context(), coder.MessageText, big[:small/2])
	if _, got, err := c.Read(t.Context()); err != nil || !bytes.Equal(got, big[:small/2]) {
		t.Fatalf("within the limit: got %d bytes, %v", len(got), err)
	}
	_ = c.Write(t.Context(), coder.MessageText, big)
	if _, _, err := c.Read(t.Context()); coder.CloseStatus(err) != 1008 {
		t.Errorf("a compressed message over the limit: got %v, want 1008", err)
	}
	limits.Over = server.Warn
	p.Routes["/"] = server.RoutePolicy{Limits: limits}
	if err := srv.SetPolicy(p); err == nil {
		t.Error("it can be warned without a text")
	}
}

// TestDropFragments: of a message that is left out all fragments are, and the control frames
// between them pass. An end within it is between two frames for the application.
func TestDropFragments(t *testing.T) {
	heard := make(chan string, 10)
	url := frontLimited(t, application(t, func(c *websocket.Conn) {
		c.SetPingHandler(func(s string) error { heard <- s; return nil })
		for {
			_, b, err := c.ReadMessage()
			if err != nil {
				heard <- err.Error()
				return
			}
			heard <- string(b)
		}
	}), new(server.Server), server.Limits{Bytes: smallOnly, Over: server.Drop})
	c, _, err := websocket.DefaultDialer.Dial(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw := c.NetConn()
	_, _ = raw.Write(fragment(frame.OpText, false, make([]byte, 2*small)))
	_, _ = raw.Write(masked(frame.OpPing, "between"))
	_, _ = raw.Write(fragment(frame.OpContinuation, false, []byte("still")))
	_, _ = raw.Write(fragment(frame.OpContinuation, true, []byte("the same")))
	_, _ = raw.Write(masked(frame.OpText, "the next"))
	_, _ = raw.Write(fragment(frame.OpText, false, make([]byte, 2*small)))
	_, _ = raw.Write(fragment(frame.OpContinuation, false, make([]byte, 10))[:9]) // half of it
	for _, want := range []string{"between", "the next"} {
		if got := <-heard; got != want {
			t.Errorf("the application heard %q, want %q", got, want)
		}
	}
	c.Close()
	if got := <-heard; !strings.Contains(got, "close 1001") {
		t.Errorf("at the end the application heard %q", got)
	}
}

func fragment(op frame.Opcode, fin bool, b []byte) []byte {
	h := frame.Header{Opcode: op, Fin: fin, Masked: true, Mask: [4]byte{1, 2, 3, 4}, Length: int64(len(b))}
	out := frame.AppendHeader(nil, h)
	n := len(out)
	out = append(out, b...)
	frame.Mask(out[n:], h.Mask, 0)
	return out
}

func masked(op frame.Opcode, text string) []byte { return fragment(op, true, []byte(text)) }

// TestWithinMessage: bytes over a limit in the middle of a message are waited for, whatever is
// done about messages.
func TestWithinMessage(t *testing.T) {
	for _, over := range []server.Action{server.Drop, server.Delay, server.Disconnect} {
		srv := new(server.Server)
		url := frontLimited(t, application(t, echo), srv, server.Limits{Bytes: limiter.Rate{Limit: 1e6, Burst: small}, Over: over})
		c, _, err := websocket.DefaultDialer.Dial(url, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		const fragments, size = 20, 900
		message := fragment(frame.OpBinary, false, make([]byte, size))
		for range fragments - 2 {
			message = append(message, fragment(frame.OpContinuation, false, make([]byte, size))...)
		}
		began := time.Now()
		_, _ = c.NetConn().Write(append(message, fragment(frame.OpContinuation, true, make([]byte, size))...))
		if _, got, err := c.ReadMessage(); err != nil || len(got) != fragments*size {
			t.Errorf("%v: got %d bytes, %v", over, len(got), err)
		}
		if took := time.Since(began); took < (fragments-3)*size*time.Microsecond {
			t.Errorf("%v: %d bytes took %v at 1 MB/s", over, fragments*size, took)
		}
		for _, n := range srv.LimitStats() {
			if n.Action != "delay" {
				t.Errorf("%v: counted %+v", over, n)
			}
		}
	}
}

// TestWarn: a client that is over a limit is told so between two messages of the application's.
func TestWarn(t *testing.T) {
	g := application(t, func(c *websocket.Conn) {
		c.SetPingHandler(func(s string) error {
			return c.WriteControl(websocket.PongMessage, []byte(s), time.Time{})
		})
		says := map[string]string{"begin": "\x01\x02ab", "go on": "\x80\x01c\x81\x01d"} // a message in two fragments
		for {
			kind, b, err := c.ReadMessage()
			switch {
			case err != nil:
				return
			case says[string(b)] != "":
				_, _ = c.NetConn().Write([]byte(says[string(b)]))
			default:
				_ = c.WriteMessage(kind, b)
			}
		}
	})
	g.WarnText = "slower, please"
	url := frontLimited(t, g, new(server.Server), server.Limits{Bytes: smallOnly, Over: server.Warn})
	at := func() *websocket.Conn {
		c, _, err := websocket.DefaultDialer.Dial(url, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	hears := func(c *websocket.Conn, want string) {
		t.Helper()
		if _, got, err := c.ReadMessage(); err != nil || string(got) != want {
			t.Fatalf("heard %q, %v, want %q", got, err, want)
		}
	}
	c := at()
	for range 3 { // told once a second
		_ = c.WriteMessage(websocket.TextMessage, make([]byte, 2*small))
	}
	hears(c, g.WarnText)
	_ = c.WriteMessage(websocket.TextMessage, []byte("x"))
	hears(c, "x")
	c.Close()

	c = at()
	_ = c.WriteMessage(websocket.TextMessage, []byte("begin"))
	head := make([]byte, 4)
	if _, err := io.ReadFull(c.NetConn(), head); err != nil || string(head) != "\x01\x02ab" {
		t.Fatalf("heard %q, %v", head, err)
	}
	_ = c.WriteMessage(websocket.TextMessage, make([]byte, 2*small))
	_, _ = c.NetConn().Write(masked(frame.OpPing, "p"))
	rest := make([]byte, 3) // the pong: nothing is before it, in the middle of the message
	if _, err := io.ReadFull(c.NetConn(), rest); err != nil || string(rest) != "\x8a\x01p" {
		t.Fatalf("heard %q, %v", rest, err)
	}
	_ = c.WriteMessage(websocket.TextMessage, []byte("go on"))
	rest = make([]byte, 3)
	if _, err := io.ReadFull(c.NetConn(), rest); err != nil || string(rest) != "\x80\x01c" {
		t.Fatalf("heard %q, %v", rest, err)
	}
	hears(c, g.WarnText)
	hears(c, "d")
}

// frontLimited is front, with limits.
func frontLimited(t *testing.T, g *Guard, srv *server.Server, limits server.Limits) string {
	t.Helper()
	return frontAt(t, srv, server.Route{Relay: g.Relay(), Limits: limits})
}

// TestMaxMessage: how long a message may be is known by its headers, and a compressed one counts
// as it is sent.
func TestMaxMessage(t *testing.T) {
	url := front(t, application(t, func(c *websocket.Conn) {
		for {
			_, b, err := c.ReadMessage()
			if err != nil || c.WriteMessage(websocket.TextMessage, []byte(fmt.Sprint(len(b)))) != nil {
				return
			}
		}
	}), &server.Server{MaxMessage: small})
	c := connect(t, url)
	_ = c.WriteMessage(websocket.TextMessage, make([]byte, 100*small)) // some 120 bytes
	if _, got, err := c.ReadMessage(); err != nil || string(got) != fmt.Sprint(100*small) {
		t.Errorf("a compressed message: got %q, %v", got, err)
	}
	for _, begins := range [][]byte{
		fragment(frame.OpText, true, make([]byte, small+1))[:8],
		append(fragment(frame.OpText, false, make([]byte, small)), fragment(frame.OpContinuation, true, []byte("x"))[:6]...),
	} {
		c = connect(t, url)
		_, _ = c.NetConn().Write(begins)
		if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, 1009) {
			t.Errorf("got %v, want 1009", err)
		}
	}
}
