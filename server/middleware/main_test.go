//go:build linux

package middleware

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/leak"
	"github.com/usher-ws/usher/internal/logtext"
	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

// journal is a log's text.
type journal = logtext.Text

// ringTo returns a ring that is closed at the end of the test.
func ringTo(t *testing.T, h slog.Handler) *server.LogRing {
	r := server.NewLogRing(h)
	t.Cleanup(func() { r.Close(time.Hour) })
	return r
}

func echo(c server.Conn, m server.Message) error { return c.Send(m.Opcode, m.Data) }

// asUser takes the query for a name.
var asUser = upgrade.Guard{OnBeforeUpgrade: func(r *upgrade.Request) (http.Header, error) {
	if name := string(r.RawQuery()); name != "" {
		r.Identity = &upgrade.Identity{Subject: name}
	}
	return nil, nil
}}

// start runs s until the test ends, and returns its address.
func start(t *testing.T, s *server.Server) string {
	t.Helper()
	s.Addr, s.Drain = "127.0.0.1:0", -1
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Shutdown(context.Background()) }) // unless the test did
	return s.Addrs()[0].String()
}

func dial(t *testing.T, addr, path string) *websocket.Conn {
	t.Helper()
	c, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+path, nil)
	if err != nil {
		t.Fatalf("dial %s: %v (%v)", path, err, resp)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func say(t *testing.T, c *websocket.Conn, text string) {
	t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, c *websocket.Conn) string {
	t.Helper()
	_, b, err := c.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// closeOf returns the close error that the client reads next.
func closeOf(t *testing.T, c *websocket.Conn) *websocket.CloseError {
	t.Helper()
	for {
		_, _, err := c.ReadMessage()
		if e, ok := err.(*websocket.CloseError); ok {
			return e
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// eventually waits for something that is bound to happen.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for !f() {
		if t.Context().Err() != nil {
			t.Fatal(what)
		}
		time.Sleep(time.Millisecond)
	}
}
