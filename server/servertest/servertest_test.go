//go:build linux

package servertest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/websocket"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/server"
	jwt "github.com/usher-ws/usher/server/internal/tokens"
	"github.com/usher-ws/usher/server/servertest"
	"github.com/usher-ws/usher/upgrade"

	gojwt "github.com/usher-ws/usher/internal/jwt"
)

func echo(c server.Conn, m server.Message) error { return c.Send(m.Opcode, m.Data) }

// dial is Dial of a client that is to be let in.
func dial(t *testing.T, s *servertest.Server, path string, o servertest.Options) *servertest.Client {
	t.Helper()
	c, err := s.Dial(path, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func say(t *testing.T, c *servertest.Client, text string) {
	t.Helper()
	if err := c.WriteMessage(frame.OpText, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func hears(t *testing.T, c *servertest.Client, want string) {
	t.Helper()
	if _, msg, err := c.ReadMessage(); err != nil || string(msg) != want {
		t.Fatalf("got %.100q, %v, want %.100q", msg, err, want)
	}
}

// TestParty is what the example runs.
func TestParty(t *testing.T) {
	s := servertest.New(t, rooms())
	_, err := s.Dial("/party/mallory", servertest.Options{})
	var refused *servertest.Refusal
	if !errors.As(err, &refused) || refused.StatusCode != 403 ||
		refused.Header.Get("Content-Type") != "application/problem+json" || !bytes.Contains(refused.Body, []byte("not_invited")) {
		t.Errorf("mallory: got %+v, %v, want 403 not_invited", refused, err)
	}
	alice := dial(t, s, "/party/alice", servertest.Options{})
	say(t, alice, "hello")
	hears(t, alice, "hello")
	if err := alice.Close(frame.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
}

// TestOptions: what a client asks for arrives, and what was agreed on is told.
func TestOptions(t *testing.T) {
	secret := []byte("a secret of 32 bytes or more ...")
	tokens, err := jwt.HS256(secret)
	if err != nil {
		t.Fatal(err)
	}
	srv := &server.Server{Deflate: true}
	srv.Route("/ws/{room}", server.Route{
		Guards:       []upgrade.Guard{upgrade.Bearer(tokens)},
		Subprotocols: []string{"v2", "v1"},
		Keep:         func(r *upgrade.Request) any { return string(r.Header("X-Mood")) + " " + string(r.RawQuery()) },
		Open: func(c server.Conn) error {
			return c.Send(frame.OpText, []byte(strings.Join([]string{
				c.PathValue("room"), c.Identity().Subject, c.Subprotocol(), c.Data().(string)}, " ")))
		},
		Message: echo,
	})
	s := servertest.New(t, srv)
	token, err := gojwt.NewWithClaims(gojwt.SigningMethodHS256, gojwt.MapClaims{
		"sub": "alice", "exp": time.Now().Add(time.Hour).Unix()}).SignedString(secret)
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, s, "/ws/attic?x=1", servertest.Options{
		Header: http.Header{"X-Mood": {"good"}, "Origin": {"http://" + servertest.Host}},
		Token:  token, Subprotocols: []string{"v1", "v3"}, Deflate: true,
	})
	hears(t, c, "attic alice v1 good x=1")
	if c.Subprotocol != "v1" || !c.Deflated {
		t.Errorf("got %q, deflated %v, want v1 and true", c.Subprotocol, c.Deflated)
	}
	long := strings.Repeat("usher ", 100_000/6) // which MaxMessage lets in compressed and not
	for _, text := range []string{"hi", long[:60_000]} {
		say(t, c, text)
		hears(t, c, text)
	}

	for what, o := range map[string]servertest.Options{
		"no token":       {},
		"a bad one":      {Token: token + "x"},
		"another origin": {Token: token, Header: http.Header{"Origin": {"https://evil.example"}}},
	} {
		want := 401
		if what == "another origin" {
			want = 403
		}
		var refused *servertest.Refusal
		if _, err := s.Dial("/ws/attic", o); !errors.As(err, &refused) || refused.StatusCode != want {
			t.Errorf("%s: got %v, want %d", what, err, want)
		}
	}
}

// TestRoute: hooks, groups, limits and Offload do here what they do in earnest.
func TestRoute(t *testing.T) {
	room, closed := new(server.Group), make(chan error, 2)
	s := servertest.NewRoute(t, server.Route{
		Limits:     server.Limits{Messages: limiter.Rate{Limit: 1e-3, Burst: 2}, Over: server.Disconnect},
		Middleware: []server.Middleware{server.Offload(2)},
		Open:       func(c server.Conn) error { return room.Join(c) },
		Message:    func(_ server.Conn, m server.Message) error { return room.Send(m.Opcode, m.Data) },
		Close:      func(_ server.Conn, err error) { closed <- err },
	})
	alice, bob := dial(t, s, "/any/path", servertest.Options{}), dial(t, s, "/", servertest.Options{})
	for _, text := range []string{"one", "two"} {
		say(t, alice, text)
		hears(t, alice, text)
		hears(t, bob, text)
	}
	say(t, alice, "three")
	var bye *upgrade.CloseError
	if _, _, err := alice.ReadMessage(); !errors.As(err, &bye) || bye.Code != frame.StatusPolicyViolation {
		t.Errorf("got %v, want 1008", err)
	}
	if err := bob.Close(4000, "bye"); err != nil {
		t.Error(err)
	}
	for range 2 {
		var why *server.CloseError
		if err := <-closed; !errors.As(err, &why) || why.Code != 1008 && why.Code != 4000 {
			t.Errorf("Close was told %v", err)
		}
	}
}

// TestHTTP: what no route matches goes to the Handler; another library's client is let in.
func TestHTTP(t *testing.T) {
	srv := &server.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "page "+r.URL.Path)
	})}
	srv.Route("/ws", server.Route{Message: echo})
	s := servertest.New(t, srv)
	resp, err := s.HTTPClient().Get("http://" + servertest.Host + "/about")
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 200 || string(body) != "page /about" {
		t.Errorf("got %d %q", resp.StatusCode, body)
	}
	d := websocket.Dialer{NetDialContext: s.DialContext}
	c, _, err := d.Dial("ws://"+servertest.Host+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.WriteMessage(websocket.TextMessage, []byte("hi")); err != nil {
		t.Fatal(err)
	}
	if _, msg, err := c.ReadMessage(); err != nil || string(msg) != "hi" {
		t.Errorf("got %q, %v", msg, err)
	}
}

// TestEnd: connections that are there at the end of a test are cut, and Close is called; a
// test may shut the server down itself.
func TestEnd(t *testing.T) {
	for _, itself := range []bool{false, true} {
		closed := make(chan error, 1)
		t.Run("", func(t *testing.T) {
			srv := &server.Server{Drain: -1}
			srv.Route("/", server.Route{Close: func(_ server.Conn, err error) { closed <- err }})
			s := servertest.New(t, srv)
			c := dial(t, s, "/", servertest.Options{})
			if !itself {
				return
			}
			if err := srv.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			var bye *upgrade.CloseError
			if _, _, err := c.ReadMessage(); !errors.As(err, &bye) || bye.Code != frame.StatusGoingAway {
				t.Errorf("got %v, want 1001", err)
			}
			if _, err := s.Dial("/", servertest.Options{}); err == nil {
				t.Error("a server that is down lets in")
			}
		})
		select {
		case <-closed:
		default:
			t.Error("Close was not called before the test ended")
		}
	}
}

// TestPhases: without an Addr a server is started, not served; and adopts while it runs.
func TestPhases(t *testing.T) {
	srv := new(server.Server)
	if err := srv.ListenAndServe(); err == nil || !strings.Contains(err.Error(), "Addr") {
		t.Errorf("ListenAndServe: got %v, want an error about Addr", err)
	}
	if err := srv.Adopt(0); err == nil || !strings.Contains(err.Error(), "not been started") {
		t.Errorf("Adopt: got %v, want an error about Start", err)
	}
	servertest.New(t, srv)
	if n := len(srv.Addrs()); n != 0 {
		t.Errorf("it listens on %v", srv.Addrs())
	}
	if err := srv.Adopt(-1); err == nil {
		t.Error("no descriptor is adopted")
	}
}
