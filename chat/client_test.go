//go:build linux

package chat_test

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"

	"github.com/usher-ws/usher/chat"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
	"github.com/usher-ws/usher/upgrade/jwt"
)

// patience is how long a test waits for something; only tests that fail wait so long.
const patience = time.Hour // the limit is the test binary's own

var secret = []byte("0123456789abcdef0123456789abcdef")

// serve runs a chat on a free port until the test ends, and returns its address.
func serve(t *testing.T, config chat.Config) (addr string) {
	t.Helper()
	app := newApp(t, config)
	return serveApp(t, app, app.Route())
}

func newApp(t *testing.T, config chat.Config) *chat.Chat {
	t.Helper()
	keys, err := jwt.HS256(secret)
	if err != nil {
		t.Fatal(err)
	}
	config.Guards = []upgrade.Guard{upgrade.Bearer(keys)}
	if config.LeaveGrace == 0 {
		config.LeaveGrace = -1 // tests that say nothing of it do not want to wait
	}
	app, err := chat.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return app
}

func serveApp(t *testing.T, app *chat.Chat, route server.Route) (addr string) {
	t.Helper()
	s := &server.Server{Addr: "127.0.0.1:0", Handler: app.Handler(), Logger: slog.New(slog.DiscardHandler)}
	s.Route(chat.Pattern, route)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // there is nobody left to be polite to
		_ = s.Shutdown(ctx)
		if err := s.Wait(); err != nil {
			t.Errorf("Wait: %v", err)
		}
	})
	return s.Addrs()[0].String()
}

// client is a member's connection in a test.
type client struct {
	*websocket.Conn
	t *testing.T
}

// token returns a token that is good for a minute, for all rooms if none is named.
func token(t *testing.T, name string, rooms ...string) string {
	t.Helper()
	claims := gojwt.MapClaims{"sub": name, "exp": time.Now().Add(time.Minute).Unix()}
	if rooms != nil {
		claims["rooms"] = rooms
	}
	signed, err := gojwt.NewWithClaims(gojwt.SigningMethodHS256, claims).SignedString(secret)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// dial opens a room with a token of its own making. The refusal is closed by the
// end of the test.
func dial(t *testing.T, addr, name, room string, rooms ...string) (client, *http.Response) {
	t.Helper()
	conn, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+"/ws/"+room+"?token="+token(t, name, rooms...), nil)
	if resp == nil {
		t.Fatalf("dial %s: %v", room, err)
	}
	if conn != nil {
		t.Cleanup(func() { conn.Close() })
	}
	return client{conn, t}, resp
}

// join dials, and waits until the room knows of it. What was said before has arrived then.
func join(t *testing.T, addr, name, room string) client {
	t.Helper()
	c, resp := dial(t, addr, name, room)
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%s at %s: got %s, want 101", name, room, resp.Status)
	}
	c.until("Server: " + name + " has joined the chat")
	return c
}

func (c client) say(text string) {
	c.t.Helper()
	if err := c.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

func (c client) next() (string, error) {
	c.SetReadDeadline(time.Now().Add(patience))
	_, b, err := c.ReadMessage()
	return string(b), err
}

// want reads the lines that must come next.
func (c client) want(lines ...string) {
	c.t.Helper()
	for _, line := range lines {
		if got, err := c.next(); err != nil || got != line {
			c.t.Fatalf("got %q, error %v; want %q", got, err, line)
		}
	}
}

// until reads up to this line, and returns the lines before it.
func (c client) until(line string) (before []string) {
	c.t.Helper()
	for {
		got, err := c.next()
		if err != nil {
			c.t.Fatalf("got %q, error %v; want %q", before, err, line)
		}
		if got == line {
			return before
		}
		before = append(before, got)
	}
}

// leave closes, and waits until the room knows of it.
func (c client) leave() {
	c.t.Helper()
	goodbye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	if err := c.WriteMessage(websocket.CloseMessage, goodbye); err != nil {
		c.t.Fatal(err)
	}
	for {
		if _, err := c.next(); err != nil {
			if !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
				c.t.Fatalf("got error %v; want close 1000", err)
			}
			return
		}
	}
}

func (c client) wantClose(code int) {
	c.t.Helper()
	if got, err := c.next(); !websocket.IsCloseError(err, code) {
		c.t.Fatalf("got %q, error %v; want close %d", got, err, code)
	}
}
