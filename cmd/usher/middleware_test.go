//go:build linux

package main_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	rfc6455 "github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/server/metrics"
	"github.com/usher-ws/usher/server/middleware"
	"github.com/usher-ws/usher/server/validate"
	"github.com/usher-ws/usher/upgrade"
	"github.com/usher-ws/usher/upgrade/jwt"
)

// The tutorial's part on middleware, each of its rows and then its exercises, on a program
// that embeds package server and with foreign clients.

// errand is what a client of testdata/clients is asked to do.
type errand struct {
	URL  string   `json:"url"`
	Say  []string `json:"say"`
	Hear int      `json:"hear"`
	Ends bool     `json:"ends"` // it is the server that ends it
}

// account is what it comes back with.
type account struct {
	Status int      `json:"status"`
	Body   string   `json:"body"` // of a refusal; Debian's websockets shows none
	Heard  []string `json:"heard"`
	Close  int      `json:"close"`
	Reason string   `json:"reason"`
}

// foreigners are the clients of the tests here, by name.
var foreigners = map[string]func(*testing.T, errand) account{
	"gorilla": sendGorilla,
	"node": func(t *testing.T, e errand) account {
		return sendScript(t, e, node(t, "ws", "ws"), "node_talk.mjs")
	},
	"python": func(t *testing.T, e errand) account {
		return sendScript(t, e, python(t), "python_talk.py")
	},
}

// eachClient runs f once for every client.
func eachClient(t *testing.T, f func(t *testing.T, send func(errand) account)) {
	t.Parallel()
	for name, client := range foreigners {
		t.Run(name, func(t *testing.T) {
			f(t, func(e errand) account { t.Helper(); return client(t, e) })
		})
	}
}

func sendScript(t *testing.T, e errand, interpreter, script string) (got account) {
	t.Helper()
	if e.Say == nil {
		e.Say = []string{}
	}
	runScript(t, interpreter, script, e, &got)
	return got
}

func sendGorilla(t *testing.T, e errand) (got account) {
	t.Helper()
	conn, resp, err := websocket.DefaultDialer.Dial(e.URL, nil)
	if err != nil {
		if resp == nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		return account{Status: resp.StatusCode, Body: string(body)}
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(patience))
	got.Status = http.StatusSwitchingProtocols
	for _, said := range e.Say {
		if err := conn.WriteMessage(websocket.TextMessage, []byte(said)); err != nil {
			break // the server may have ended it
		}
	}
	for {
		if len(got.Heard) == e.Hear && !e.Ends {
			conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, "bye"), time.Now().Add(time.Second))
		}
		_, b, err := conn.ReadMessage()
		var closed *websocket.CloseError
		if errors.As(err, &closed) {
			got.Close, got.Reason = closed.Code, closed.Text
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		got.Heard = append(got.Heard, string(b))
	}
}

// embed runs a server until the test ends and returns its URL.
func embed(t *testing.T, s *server.Server) (url string) {
	t.Helper()
	s.Addr, s.Drain = "127.0.0.1:0", -1
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error(err)
		}
	})
	return "ws://" + s.Addrs()[0].String()
}

func sendBack(c server.Conn, m server.Message) error { return c.Send(m.Opcode, m.Data) }

// byName is a guard that takes the query for a name.
func byName(r *upgrade.Request) (http.Header, error) {
	name := string(r.RawQuery())
	if name == "" {
		return nil, upgrade.Reject(http.StatusUnauthorized, "who_is_it", "Say who you are.")
	}
	r.Identity = &upgrade.Identity{Subject: name}
	return nil, nil
}

// TestTutorialLogging: the tutorial's logging middleware sees which clients connect, how long
// they stay and what they said; ours also sees those that are refused.
func TestTutorialLogging(t *testing.T) {
	eachClient(t, func(t *testing.T, send func(errand) account) {
		log := newTranscript()
		ring := server.NewLogRing(slog.NewTextHandler(log, nil))
		t.Cleanup(func() { ring.Close(time.Minute) })
		s := &server.Server{}
		s.Use(middleware.Logging(ring))
		s.Route("/ws", server.Route{Guards: []upgrade.Guard{{OnBeforeUpgrade: byName}}, Message: sendBack})
		url := embed(t, s)
		if got := send(errand{URL: url + "/ws"}); got.Status != 401 {
			t.Errorf("got %+v, want 401", got)
		}
		if got := send(errand{URL: url + "/ws?alice", Say: []string{"hi", "there"}, Hear: 2}); got.Close != 1000 {
			t.Errorf("got %+v", got)
		}
		for _, want := range []string{
			`msg=refused request="GET /ws" remote=127.0.0.1:`, "status=401 code=who_is_it",
			"msg=accepted route=/ws remote=127.0.0.1:", "user=alice", "msg=closed", "duration=", "messages=2 bytes=7 code=1000 reason=bye",
		} {
			eventually(t, want, func() bool { return strings.Contains(log.String(), want) })
		}
	})
}

// TestTutorialAuth: the tutorial's middleware for tokens refuses with 1008 before the
// handshake, which no client sees. Here it is a 401 that a client can read.
func TestTutorialAuth(t *testing.T) {
	eachClient(t, func(t *testing.T, send func(errand) account) {
		keys, err := jwt.HS256([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		s := &server.Server{}
		s.Route("/ws", server.Route{
			Guards: []upgrade.Guard{upgrade.Bearer(keys)},
			Open:   func(c server.Conn) error { return c.Send(rfc6455.OpText, []byte("hello "+c.Identity().Subject)) },
		})
		url := embed(t, s)
		if got := send(errand{URL: url + "/ws?token=" + token("alice"), Hear: 1}); !slices.Equal(got.Heard, []string{"hello alice"}) {
			t.Errorf("got %+v", got)
		}
		for query, code := range map[string]string{"": "token_missing", "?token=" + token("alice") + "x": "token_invalid"} {
			got := send(errand{URL: url + "/ws" + query})
			if got.Status != 401 || got.Body != "" && !strings.Contains(got.Body, code) {
				t.Errorf("%s: got %+v, want 401 %s", query, got, code)
			}
		}
	})
}

// TestTutorialRateLimit: messages above the rate are dropped with a warning, for the
// one connection that sends them, and nothing that is said can pass for a warning.
func TestTutorialRateLimit(t *testing.T) {
	eachClient(t, func(t *testing.T, send func(errand) account) {
		s := &server.Server{}
		s.Route("/ws", server.Route{
			Limits: server.Limits{Messages: limiter.Rate{Limit: limiter.Every(time.Hour), Burst: 3}, Over: server.Warn},
			OnLimit: func(c server.Conn, v server.Violation) {
				_ = c.Send(rfc6455.OpText, fmt.Appendf(nil, "slow down: %s, %v", v.Limit, v.RetryAfter > 50*time.Minute))
			},
			Message: sendBack,
		})
		url := embed(t, s)
		say := []string{"__rate_limited__", "b", "c", "d", "e"}
		want := []string{"__rate_limited__", "b", "c", "slow down: messages, true"}
		for range 2 { // the limit is the connection's: another one begins anew
			if got := send(errand{URL: url + "/ws", Say: say, Hear: 4}); !slices.Equal(got.Heard, want) || got.Close != 1000 {
				t.Errorf("got %+v, want %q", got, want)
			}
		}
	})
}

// TestTutorialOrder: the first listed is the outermost. In the tutorial only the text says
// so.
func TestTutorialOrder(t *testing.T) {
	eachClient(t, func(t *testing.T, send func(errand) account) {
		sign := func(name string) server.Middleware {
			return server.Middleware{Name: name, Message: func(next server.MessageFunc) server.MessageFunc {
				return func(c server.Conn, m server.Message) error {
					m.Data = append(m.Data[:len(m.Data):len(m.Data)], name...)
					return next(c, m)
				}
			}}
		}
		s := &server.Server{}
		s.Use(sign("1"))
		s.Route("/ws", server.Route{Middleware: []server.Middleware{sign("2"), sign("3")}, Message: sendBack})
		shown := string(s.AppendRoutes(nil))
		if got := send(errand{URL: embed(t, s) + "/ws", Say: []string{"x"}, Hear: 1}); !slices.Equal(got.Heard, []string{"x123"}) {
			t.Errorf("got %+v", got)
		}
		if first, last := strings.Index(shown, "1 (message)"), strings.Index(shown, "3 (message)"); first < 0 || last < first {
			t.Errorf("got %s", shown)
		}
	})
}

// TestExerciseMonitoring: connections, messages and errors, as a monitoring system
// reads them.
func TestExerciseMonitoring(t *testing.T) {
	eachClient(t, func(t *testing.T, send func(errand) account) {
		s := &server.Server{}
		s.Route("/ws", server.Route{Guards: []upgrade.Guard{{OnBeforeUpgrade: byName}}, Message: sendBack})
		url := embed(t, s)
		send(errand{URL: url + "/ws"})
		send(errand{URL: url + "/ws?alice", Say: []string{"one", "two", "three"}, Hear: 3})
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(metrics.NewCollector(s))
		const want = `
# HELP usher_handshakes_total Handshakes answered with 101.
# TYPE usher_handshakes_total counter
usher_handshakes_total{route="/ws"} 1
# HELP usher_messages_received_total Complete data messages received, those over a limit included.
# TYPE usher_messages_received_total counter
usher_messages_received_total{route="/ws"} 3
# HELP usher_messages_sent_total Messages accepted for sending, one for each recipient.
# TYPE usher_messages_sent_total counter
usher_messages_sent_total{route="/ws"} 3
# HELP usher_refusals_total Requests refused, by the code of the refusal. No route: none matched, or the request was no HTTP.
# TYPE usher_refusals_total counter
usher_refusals_total{code="who_is_it",route="/ws"} 1
# HELP usher_closes_total WebSocket connections that ended, by close code; 1006 is without a close frame.
# TYPE usher_closes_total counter
usher_closes_total{code="1000",route="/ws"} 1
# HELP usher_connections Open WebSocket connections.
# TYPE usher_connections gauge
usher_connections{route="/ws"} 0
`
		if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "usher_handshakes_total", "usher_messages_received_total",
			"usher_messages_sent_total", "usher_refusals_total", "usher_closes_total", "usher_connections"); err != nil {
			t.Error(err)
		}
	})
}

// TestExerciseTransformation: words of a list are hidden on their way in, and all that
// goes out is upper-case.
func TestExerciseTransformation(t *testing.T) {
	eachClient(t, func(t *testing.T, send func(errand) account) {
		in, out := middleware.Transform(middleware.Censor("darn"), nil), middleware.Transform(nil, middleware.Upper)
		room := &server.Group{Middleware: []server.Middleware{out}}
		s := &server.Server{}
		s.Route("/ws", server.Route{
			Middleware: []server.Middleware{in},
			Open:       room.Join,
			Message:    func(_ server.Conn, m server.Message) error { return room.Send(m.Opcode, m.Data) },
		})
		got := send(errand{URL: embed(t, s) + "/ws", Say: []string{"Darn it, naïve", "well"}, Hear: 2})
		if want := []string{"**** IT, NAÏVE", "WELL"}; !slices.Equal(got.Heard, want) {
			t.Errorf("got %+v, want %q", got, want)
		}
	})
}

// TestExerciseConnectionLimits: each user has so many connections, and one beyond that is
// refused before the handshake; there is room again as soon as one ends.
func TestExerciseConnectionLimits(t *testing.T) {
	eachClient(t, func(t *testing.T, send func(errand) account) {
		s := &server.Server{MaxConnsPerUser: 2}
		s.Route("/ws", server.Route{Guards: []upgrade.Guard{{OnBeforeUpgrade: byName}}, Message: sendBack})
		url := embed(t, s)
		var tabs []*websocket.Conn
		for range 2 {
			conn, _, err := websocket.DefaultDialer.Dial(url+"/ws?alice", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			tabs = append(tabs, conn)
		}
		if got := send(errand{URL: url + "/ws?alice"}); got.Status != 429 || got.Body != "" && !strings.Contains(got.Body, "too_many_requests") {
			t.Errorf("the third: got %+v, want 429", got)
		}
		if got := send(errand{URL: url + "/ws?bob"}); got.Status != 101 {
			t.Errorf("somebody else: got %+v, want 101", got)
		}
		tabs[0].Close()
		eventually(t, "a place", func() bool { return s.Stats().Total.Conns == 1 })
		if got := send(errand{URL: url + "/ws?alice"}); got.Status != 101 {
			t.Errorf("after one has gone: got %+v, want 101", got)
		}
	})
}

// TestExerciseProtocol: messages of an application's own protocol in JSON are checked against
// its schema. A client that breaks it is told how, and one that goes on is closed.
func TestExerciseProtocol(t *testing.T) {
	eachClient(t, func(t *testing.T, send func(errand) account) {
		valid, err := validate.JSON([]byte(`{"type": "object", "required": ["op", "args"], "properties": {
			"op": {"enum": ["add", "mul"]}, "args": {"type": "array", "minItems": 2, "items": {"type": "integer"}}}}`), 3)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var handled []string
		s := &server.Server{}
		s.Route("/ws", server.Route{
			Middleware: []server.Middleware{valid},
			Message: func(c server.Conn, m server.Message) error {
				mu.Lock()
				defer mu.Unlock()
				handled = append(handled, string(m.Data))
				return c.Send(rfc6455.OpText, []byte("done"))
			},
		})
		good := `{"op":"add","args":[1,2]}`
		got := send(errand{
			URL: embed(t, s) + "/ws", Say: []string{good, `{"op":"add","args":[1]}`, `{"op":"add","args":[1,"2"]}`, `add 1 2`, good}, Hear: 4, Ends: true,
		})
		want := []string{
			"done",
			`{"type":"error","code":"schema_mismatch","detail":"at '/args': minItems: got 1, want 2"}`,
			`{"type":"error","code":"schema_mismatch","detail":"at '/args/1': got string, want integer"}`,
			`{"type":"error","code":"bad_json","detail":"the message is not JSON"}`,
		}
		if !slices.Equal(got.Heard, want) || got.Close != 1008 || got.Reason != "malformed_messages" {
			t.Errorf("got %+v, want %q and 1008", got, want)
		}
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(handled, []string{good}) {
			t.Errorf("the handler was given %q", handled)
		}
	})
}
