//go:build linux

package guard

import (
	"context"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

// TestCloses: a close frame reaches the other side with its code and its reason.
func TestCloses(t *testing.T) {
	heard := make(chan error, 1)
	quiet := make(chan bool, 1)
	url := front(t, application(t, func(c *websocket.Conn) {
		select {
		case <-quiet:
			c.SetCloseHandler(func(int, string) error { return nil })
		default:
		}
		_, b, err := c.ReadMessage()
		if string(b) == "close" {
			_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4321, "as you like"), time.Time{})
			_, _, err = c.ReadMessage()
		}
		heard <- err
	}), new(server.Server))
	c := connect(t, url)
	_ = c.WriteMessage(websocket.TextMessage, []byte("close"))
	if _, _, err := c.ReadMessage(); !isClose(err, 4321, "as you like") {
		t.Errorf("the client heard %v", err)
	}
	if err := <-heard; !isClose(err, 4321, "as you like") {
		t.Errorf("the application heard %v", err)
	}
	c = connect(t, url)
	_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4000, "bye"), time.Time{})
	if err := <-heard; !isClose(err, 4000, "bye") {
		t.Errorf("the application heard %v", err)
	}
	if _, _, err := c.ReadMessage(); !isClose(err, 4000, "") { // gorilla answers with the code alone
		t.Errorf("the client heard of the answer %v", err)
	}
	quiet <- true
	c = connect(t, url) // and is not answered
	_ = c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4000, "bye"), time.Time{})
	if _, _, err := c.ReadMessage(); !isClose(err, 1005, "") {
		t.Errorf("the client that was not answered heard %v", err)
	}
	<-heard
	c = connect(t, url) // vanishes
	c.Close()
	if err := <-heard; !isClose(err, 1001, "") {
		t.Errorf("the application of a client that has gone heard %v", err)
	}
}

// TestCloseDestroysNothing: what an application answers to what came before a close reaches the
// client before the close.
func TestCloseDestroysNothing(t *testing.T) {
	c := connect(t, front(t, application(t, echo), new(server.Server)))
	said, says := []byte(nil), frame.Config{Client: true}
	for _, text := range []string{"a", "b", "c"} {
		said = says.AppendFrame(said, frame.OpText, []byte(text), nil)
	}
	_, _ = c.NetConn().Write(says.AppendCloseFrame(said, 4000, ""))
	for _, want := range []string{"a", "b", "c"} {
		if _, got, err := c.ReadMessage(); string(got) != want || err != nil {
			t.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
	if _, _, err := c.ReadMessage(); !isClose(err, 4000, "") {
		t.Errorf("got %v", err)
	}
}

func isClose(err error, code int, reason string) bool {
	e, ok := err.(*websocket.CloseError)
	return ok && e.Code == code && e.Text == reason
}

// TestUpstreamDies: a client whose application has gone hears 1014, which gorilla takes for an
// error of the protocol, or is cut within a frame; it does not hang.
func TestUpstreamDies(t *testing.T) {
	for within, want := range map[string]string{"": "1014", "\x82\x05ha": "unexpected EOF"} {
		url := front(t, application(t, func(c *websocket.Conn) {
			_, _ = io.WriteString(c.NetConn(), within)
		}), new(server.Server))
		if _, _, err := connect(t, url).ReadMessage(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: the client heard %v, want %s", within, err, want)
		}
	}
}

// TestDrain: both sides are told.
func TestDrain(t *testing.T) {
	heard := make(chan error, 1)
	srv := new(server.Server)
	url := front(t, application(t, func(c *websocket.Conn) {
		_, _, err := c.ReadMessage()
		heard <- err
	}), srv)
	c := connect(t, url)
	go func() { _ = srv.Shutdown(context.Background()) }()
	if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, 1001) {
		t.Errorf("the client heard %v", err)
	}
	if err := <-heard; !isClose(err, 1001, "") {
		t.Errorf("the application heard %v", err)
	}
}

// TestNoAnswer: a client whose application does not answer as it should is told why.
func TestNoAnswer(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	says := func(what string) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for c, err := l.Accept(); err == nil; c, err = l.Accept() {
				_, _ = c.Read(make([]byte, 4096))
				_, _ = io.WriteString(c, what)
				c.Close()
			}
		}()
		return "http://" + l.Addr().String()
	}
	for name, c := range map[string]struct {
		url    string
		within time.Duration
		status int
		body   string
	}{
		"silent":         {"http://" + silent.Addr().String(), time.Millisecond, 504, CodeTimeout},
		"gone":           {"http://" + gone.Addr().String(), 0, 502, CodeUnreachable},
		"no socket":      {"unix:" + filepath.Join(t.TempDir(), "none"), 0, 502, CodeUnreachable},
		"says nothing":   {says(""), 0, 502, CodeUnreachable},
		"no WebSocket":   {says("HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"), 0, 502, CodeInvalid},
		"refuses":        {says("HTTP/1.1 418 X\r\nContent-Length: 3\r\n\r\ntea"), 0, 418, "tea"},
		"refuses by end": {says("HTTP/1.0 403 X\r\n\r\nnot you"), 0, 403, "not you"},
	} {
		url := front(t, &Guard{Upstream: open(t, Upstreams{URLs: []string{c.url}, Timeout: c.within})}, new(server.Server))
		_, resp, err := websocket.DefaultDialer.Dial(url, nil)
		if err == nil || resp == nil {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		if body, _ := io.ReadAll(resp.Body); resp.StatusCode != c.status || !strings.Contains(string(body), c.body) {
			t.Errorf("%s: got %d %q, want %d %q", name, resp.StatusCode, body, c.status, c.body)
		}
	}
}
