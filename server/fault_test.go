//go:build linux

package server

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/upgrade"
)

// A callback that ends its goroutine, as a test's FailNow does, ends its connection as a
// panic would. The loop, the workers and everybody else go on.
func TestGoexit(t *testing.T) {
	exit := func(Conn, Message) error { runtime.Goexit(); return nil }
	for _, c := range []struct {
		name   string
		route  Route
		status int    // of the answer, if that is not 101
		code   int    // of the close frame, if there is one
		says   string // before that
	}{
		{name: "message", route: Route{Message: exit}, code: 1011},
		{name: "message, having answered", route: Route{Message: func(c Conn, m Message) error {
			c.Send(m.Opcode, []byte("last words"))
			runtime.Goexit()
			return nil
		}}, code: 1011, says: "last words"},
		{name: "open", route: Route{Open: func(Conn) error { runtime.Goexit(); return nil }}, code: 1011},
		{name: "close", route: Route{
			Message: func(Conn, Message) error { return &CloseError{Code: 4000} },
			Close:   func(Conn, error) { runtime.Goexit() },
		}, code: 4000},
		{name: "message and close", route: Route{Message: exit, Close: func(Conn, error) { runtime.Goexit() }}, code: 1011},
		{name: "cost", route: Route{Limits: Limits{Cost: func(Message) int { runtime.Goexit(); return 0 }}}, code: 1011},
		{name: "on limit", route: Route{
			Limits:  Limits{Messages: limiter.Rate{Limit: 1, Burst: 1}, Cost: func(Message) int { return 2 }},
			OnLimit: func(Conn, Violation) { runtime.Goexit() },
		}, code: 1011},
		{name: "hook", route: Route{Middleware: []Middleware{{Upgrade: func(UpgradeFunc) UpgradeFunc {
			return func(*upgrade.Request) error { runtime.Goexit(); return nil }
		}}}}, status: 500},
		{name: "guard", route: Route{Guards: []upgrade.Guard{{OnRequest: func(*upgrade.Request) error { runtime.Goexit(); return nil }}}}, status: 500},
		{name: "verifier", route: Route{Guards: []upgrade.Guard{upgrade.Bearer(exitingVerifier{}, upgrade.Query("token"))}}, status: 500},
		{name: "authorize", route: Route{Authorize: func(context.Context, *upgrade.Request) error { runtime.Goexit(); return nil }}, status: 500},
		{name: "keep", route: Route{Keep: func(*upgrade.Request) any { runtime.Goexit(); return nil }}, status: 500},
		{name: "job", route: Route{Middleware: []Middleware{Offload(1)}, Message: exit}, code: 1011},
	} {
		t.Run(c.name, func(t *testing.T) {
			said := new(journal)
			s := &Server{Loops: 1, MaxConnsPerIP: 2, Logger: slog.New(slog.NewTextHandler(said, nil))}
			s.Route("/exit", c.route)
			s.Route("/echo", Route{Message: echo})
			addr := start(t, s)
			other := dial(t, addr, "/echo")
			for range 3 { // quotas and workers come back
				conn, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+"/exit?token=x", nil)
				if c.status != 0 {
					if resp == nil || resp.StatusCode != c.status {
						t.Fatalf("got %v, %v, want %d", resp, err, c.status)
					}
				} else {
					if err != nil {
						t.Fatal(err, resp)
					}
					if c.name != "open" {
						say(t, conn, "x")
					}
					if c.says != "" {
						if got := read(t, conn); got != c.says {
							t.Errorf("got %q, want %q", got, c.says)
						}
					}
					if e := closeOf(t, conn); e.Code != c.code {
						t.Errorf("closed with %v, want %d", e, c.code)
					}
					conn.Close()
				}
				say(t, other, "still here")
				if got := read(t, other); got != "still here" {
					t.Errorf("got %q", got)
				}
			}
			eventually(t, "it is in the log", func() bool { return strings.Contains(said.String(), "runtime.Goexit") })
		})
	}
}

// exitingVerifier ends the goroutine before it could verify.
type exitingVerifier struct{}

func (exitingVerifier) Begin([]byte, time.Time) upgrade.Verification { runtime.Goexit(); return nil }

func (exitingVerifier) Verify([]byte, time.Time) (*upgrade.Identity, error) { return nil, nil }

// What a pass has still to do when a callback ends its goroutine is done on the next:
// messages to others and to a group, connections that wait for their turn.
func TestGoexitInTheMiddle(t *testing.T) {
	const members = 20
	var exited atomic.Int32
	s := &Server{Loops: 1, MaxBacklog: 1}
	g := NewGroup()
	s.Route("/room", Route{Open: func(c Conn) error { return g.Join(c) }, Message: echo})
	s.Route("/bomb", Route{Open: func(c Conn) error { return g.Join(c) }, Close: func(Conn, error) {
		exited.Add(1)
		runtime.Goexit()
	}})
	addr := start(t, s)
	var all []*websocket.Conn
	for k := range members {
		if k%4 == 0 { // they take nothing, and are closed in the midst of a message to all
			bomb := rawDial(t, addr, "/bomb")
			bomb.SetReadBuffer(1 << 10)
			continue
		}
		all = append(all, dial(t, addr, "/room"))
	}
	big := strings.Repeat("x", 4<<20)
	go func() {
		for range 3 {
			_ = g.Send(frame.OpText, []byte(big))
			_ = s.Stats() // it has been sent
		}
		_ = g.Send(frame.OpText, []byte("end"))
	}()
	for _, c := range all {
		for got := ""; got != "end"; {
			c.SetReadDeadline(time.Time{})
			_, b, err := c.ReadMessage()
			if err != nil {
				break // it was slow itself: with a backlog of one byte that may be
			}
			got = string(b)
		}
	}
	eventually(t, "the bombs are closed", func() bool { return exited.Load() == members/4 })
	c := dial(t, addr, "/room")
	say(t, c, "hi")
	if got := read(t, c); got != "hi" {
		t.Errorf("got %q", got)
	}
	eventually(t, "nobody is counted twice", func() bool { return g.Len() == s.Stats().Routes[0].Conns+s.Stats().Routes[1].Conns })
}

// A net/http handler that ends its goroutine costs its request, and is told of.
func TestGoexitInHTTP(t *testing.T) {
	said := new(journal)
	s := &Server{Logger: slog.New(slog.NewTextHandler(said, nil)), Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		runtime.Goexit()
	})}
	addr := start(t, s)
	if resp, err := http.Get("http://" + addr + "/"); err == nil {
		t.Errorf("got %v, want no answer", resp)
	}
	eventually(t, "it is in the log", func() bool { return strings.Contains(said.String(), "runtime.Goexit") })
}

// brokenError panics when it is looked at.
type brokenError struct{}

func (brokenError) Error() string { panic("no text") }
func (brokenError) As(any) bool   { panic("no type") }
func (brokenError) Is(error) bool { panic("no kind") }

// What panics on a loop outside of callbacks ends the connection that it is about.
func TestPanicOutsideOfCallbacks(t *testing.T) {
	said := new(journal)
	s := &Server{Loops: 1, Logger: slog.New(slog.NewTextHandler(said, nil))}
	var none *CloseError
	s.Route("/open/nil", Route{Open: func(Conn) error { return none }})
	s.Route("/open/broken", Route{Open: func(Conn) error { return brokenError{} }})
	s.Route("/message/nil", Route{Message: func(Conn, Message) error { return none }})
	s.Route("/message/broken", Route{Message: func(Conn, Message) error { return brokenError{} }})
	s.Route("/job/nil", Route{Middleware: []Middleware{Offload(1)}, Message: func(Conn, Message) error { return none }})
	s.Route("/job/broken", Route{Middleware: []Middleware{Offload(1)}, Message: func(Conn, Message) error { return brokenError{} }})
	var nobody *upgrade.Rejection
	s.Route("/guard/nil", Route{Guards: []upgrade.Guard{{OnRequest: func(*upgrade.Request) error { return nobody }}}})
	s.Route("/ask/nil", Route{Authorize: func(context.Context, *upgrade.Request) error { return nobody }})
	s.Route("/guard/broken", Route{Guards: []upgrade.Guard{{OnRequest: func(*upgrade.Request) error { return brokenError{} }}}})
	s.Route("/ask/broken", Route{Authorize: func(context.Context, *upgrade.Request) error { return brokenError{} }})
	s.Route("/echo", Route{Message: echo})
	addr := start(t, s)
	other := dial(t, addr, "/echo")
	for _, path := range []string{"/open/nil", "/open/broken", "/message/nil", "/message/broken", "/job/nil", "/job/broken"} {
		c := dial(t, addr, path)
		_ = c.WriteMessage(websocket.TextMessage, []byte("x")) // Open may have ended it
		_, _, err := c.ReadMessage()
		if e, ok := err.(*websocket.CloseError); !ok || e.Code != 1011 {
			t.Errorf("%s: got %v, want 1011", path, err)
		}
		say(t, other, path)
		if got := read(t, other); got != path {
			t.Errorf("%s: got %q", path, got)
		}
	}
	for _, path := range []string{"/guard/broken", "/ask/broken", "/guard/nil", "/ask/nil"} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, strings.Replace(upgradeHead, "%s", path, 1))
		if answer, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 500 ") {
			t.Errorf("%s: got %q, %v", path, answer, err)
		}
		say(t, other, path)
		if got := read(t, other); got != path {
			t.Errorf("%s: got %q", path, got)
		}
	}
}

// A fault of a loop that is no connection's drains the server, which says so at its end.
func TestFaultOfALoop(t *testing.T) {
	said := new(journal)
	s := &Server{Loops: 2, Drain: time.Second, Logger: slog.New(slog.NewTextHandler(said, nil))}
	s.Route("/echo", Route{Message: echo})
	s.Addr = "127.0.0.1:0"
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	c := dial(t, s.Addrs()[0].String(), "/echo")
	_ = s.loops[0].Post(func() { panic("a fault") })
	if e := closeOf(t, c); e.Code != 1001 {
		t.Errorf("closed with %v, want 1001", e)
	}
	c.Close()
	if err := s.Wait(); err == nil || !strings.Contains(err.Error(), "a fault") {
		t.Errorf("Wait: got %v", err)
	}
	if got := said.String(); !strings.Contains(got, `msg="server: panic on a loop" panic="a fault" stack=`) {
		t.Errorf("the log has %q", got)
	}
}

// TestCutOfTheFaulty: a connection that cannot be cut as it should does not keep the server from
// its end, and is closed all the same.
func TestCutOfTheFaulty(t *testing.T) {
	s := &Server{Addr: "127.0.0.1:0", Loops: 1, Logger: slog.New(slog.DiscardHandler)}
	opened := make(chan Conn, 3)
	s.Route("/echo", Route{Message: echo, Open: func(c Conn) error { opened <- c; return nil }})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	l := s.loops[0]
	var conns []*websocket.Conn
	for range cap(opened) {
		conns = append(conns, dial(t, s.Addrs()[0].String(), "/echo"))
	}
	faulty := <-opened
	broken := make(chan bool)
	_ = l.Post(func() {
		l.At(faulty.slot).NeedExtra().line = &line{conn: faulty, open: 1} // without a pool
		close(broken)
	})
	<-broken
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: got %v", err)
	}
	for k, c := range conns {
		c.SetReadDeadline(time.Time{})
		if _, _, err := c.ReadMessage(); err == nil {
			t.Errorf("connection %d has heard something", k)
		}
	}
}

// Leaving a group that nobody has joined, or nobody of one's own loop, is nothing.
func TestLeaveWhatNobodyJoined(t *testing.T) {
	s := &Server{Loops: 4}
	empty, few, foreign := NewGroup(), NewGroup(), NewGroup()
	elsewhere := &Server{Loops: 8}
	elsewhere.Route("/room", Route{Open: func(c Conn) error { return foreign.Join(c) }, Message: echo})
	in := dial(t, start(t, elsewhere), "/room")
	s.Route("/few", Route{Open: func(c Conn) error { return few.Join(c) }, Message: echo})
	s.Route("/echo", Route{Message: func(c Conn, m Message) error {
		for _, g := range []*Group{empty, few, foreign, new(Group)} {
			if err := g.Leave(c); err != nil {
				t.Errorf("leave: %v", err)
			}
		}
		if err := foreign.Join(c); err == nil {
			t.Error("a group took members of two servers")
		}
		return echo(c, m)
	}})
	addr := start(t, s)
	dial(t, addr, "/few")
	for range 8 {
		c := dial(t, addr, "/echo")
		for range 2 {
			say(t, c, "hi")
			if got := read(t, c); got != "hi" {
				t.Fatalf("got %q", got)
			}
		}
	}
	say(t, in, "hi")
	read(t, in)
	if foreign.Len() != 1 || few.Len() != 1 || empty.Len() != 0 {
		t.Errorf("%d, %d and %d members", foreign.Len(), few.Len(), empty.Len())
	}
	if err := (&Group{}).Leave(Conn{}); err != net.ErrClosed {
		t.Errorf("leave of the zero Conn: got %v", err)
	}
}

// What was not prepared, or is no message, is not sent, wherever from.
func TestUnprepared(t *testing.T) {
	wrong := []*frame.Prepared{nil, new(frame.Prepared), frame.Prepare(frame.OpClose, nil), frame.Prepare(frame.OpPing, nil), frame.Prepare(frame.OpContinuation, []byte("x"))}
	check := func(c Conn, where string) {
		for i, p := range wrong {
			if err := c.SendPrepared(p); err == nil || err == net.ErrClosed {
				t.Errorf("%s, %d: got %v", where, i, err)
			}
		}
	}
	s := &Server{Loops: 1}
	s.Route("/", Route{Message: func(c Conn, m Message) error {
		check(c, "in a callback")
		elsewhere := make(chan struct{})
		go func() { defer close(elsewhere); check(c, "elsewhere") }()
		<-elsewhere
		return c.SendPrepared(frame.Prepare(m.Opcode, m.Data))
	}})
	c := dial(t, start(t, s), "/")
	for range 2 {
		say(t, c, "hi")
		if got := read(t, c); got != "hi" {
			t.Fatalf("got %q", got)
		}
	}
	check(Conn{}, "of the zero Conn")
}

// A callback that asks the server for what only its loop could do gets an answer, and the
// drain has begun.
func TestShutdownInACallback(t *testing.T) {
	for _, where := range []string{"open", "message", "close", "hook"} {
		t.Run(where, func(t *testing.T) {
			s := &Server{Loops: 1, Drain: time.Second}
			ask := func() {
				if got := s.Stats(); len(got.Loops) != 1 || got.Loops[0].Stuck {
					t.Errorf("Stats: got %+v", got)
				}
				if err := s.Wait(); err != ErrOnLoop {
					t.Errorf("Wait: got %v, want ErrOnLoop", err)
				}
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				if err := s.Shutdown(ctx); err != ErrOnLoop {
					t.Errorf("Shutdown: got %v, want ErrOnLoop", err)
				}
				if err := s.Shutdown(ctx); err == nil || err == ErrOnLoop {
					t.Errorf("Shutdown again: got %v", err)
				}
			}
			r := Route{Message: echo}
			switch where {
			case "open":
				r.Open = func(Conn) error { ask(); return nil }
			case "message":
				r.Message = func(Conn, Message) error { ask(); return nil }
			case "close":
				r.Close = func(Conn, error) { ask() }
				r.Message = func(Conn, Message) error { return &CloseError{Code: 1001} }
			case "hook":
				r.Middleware = []Middleware{{Upgrade: func(next UpgradeFunc) UpgradeFunc {
					return func(r *upgrade.Request) error { err := next(r); ask(); return err }
				}}}
			}
			s.Route("/", r)
			s.Addr = "127.0.0.1:0"
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			c := dial(t, s.Addrs()[0].String(), "/")
			_ = c.WriteMessage(websocket.TextMessage, []byte("x"))
			if e := closeOf(t, c); e.Code != 1001 {
				t.Errorf("closed with %v, want 1001", e)
			}
			c.Close()
			if err := s.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Elsewhere in the user's code Shutdown waits for its own caller, until that is cut.
func TestShutdownInACallbackElsewhere(t *testing.T) {
	for _, where := range []string{"job", "authorize", "http"} {
		t.Run(where, func(t *testing.T) {
			s := &Server{Loops: 1, Drain: -1}
			answers := make(chan error, 1)
			ask := func() { answers <- s.Shutdown(context.Background()) }
			switch where {
			case "job":
				s.Route("/", Route{Middleware: []Middleware{Offload(1)}, Message: func(Conn, Message) error { ask(); return nil }})
			case "authorize":
				s.Route("/", Route{Authorize: func(context.Context, *upgrade.Request) error { ask(); return nil }})
			case "http":
				s.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ask() })
			}
			s.Addr = "127.0.0.1:0"
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			c, err := net.Dial("tcp", s.Addrs()[0].String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			io.WriteString(c, strings.Replace(upgradeHead, "%s", "/", 1)+string(masked(frame.OpText, []byte("x"))))
			if err := <-answers; err != nil {
				t.Error(err)
			}
			if err := s.Wait(); err != nil {
				t.Error(err)
			}
			if n := s.total(); n != 0 {
				t.Errorf("%d sockets are open", n)
			}
		})
	}
}

// What was not started, or in vain, answers all the same.
func TestServerThatDoesNotRun(t *testing.T) {
	for name, s := range map[string]*Server{
		"never started": {},
		"no address":    {Addr: "nowhere"},
		"no origin":     {Addr: "127.0.0.1:0", Origins: []string{"["}},
	} {
		s.Route("/", Route{})
		if name != "never started" {
			if err := s.Start(); err == nil {
				t.Errorf("%s: it has started", name)
			}
		}
		if err := s.Shutdown(context.Background()); err == nil {
			t.Errorf("%s: Shutdown says that it ran", name)
		}
		if err := s.Wait(); err == nil {
			t.Errorf("%s: Wait says that it ran", name)
		}
		s.Stats()
		s.LimitStats()
		s.Addrs()
		s.Sockets()
		s.AppendRoutes(nil)
	}
}

// A cost, a rate or a time as large as they come holds up whom it is about, and not the
// loop's clock.
func TestHugeNumbers(t *testing.T) {
	s := &Server{Loops: 1, PingInterval: 100 * time.Millisecond, HandshakeTimeout: math.MaxInt64, MessageTimeout: math.MaxInt64, WriteTimeout: math.MaxInt64, IdleTimeout: math.MaxInt64}
	costs := map[string]int{"most": math.MaxInt, "half": math.MaxInt / 2, "least": math.MinInt, "one": 1}
	for name, cost := range costs {
		for _, over := range []Action{Warn, Drop, Delay, Disconnect} {
			s.Route("/"+name+"/"+over.String(), Route{Message: echo, Limits: Limits{
				Messages: limiter.Rate{Limit: 1e-300, Burst: math.MaxInt}, Bytes: limiter.Rate{Limit: 1, Burst: math.MaxInt},
				Over: over, Cost: func(Message) int { return cost },
			}})
		}
	}
	s.Route("/delayed", Route{Message: echo, Limits: Limits{Over: Delay, Messages: limiter.Rate{Limit: 1000, Burst: 1}}})
	addr := start(t, s)
	for name := range costs {
		for _, over := range []Action{Warn, Drop, Delay, Disconnect} {
			c := dial(t, addr, "/"+name+"/"+over.String())
			for range 3 {
				_ = c.WriteMessage(websocket.TextMessage, []byte("x"))
			}
		}
	}
	c := dial(t, addr, "/delayed") // by the loop's clock
	for range 50 {
		say(t, c, "hi")
		if got := read(t, c); got != "hi" {
			t.Errorf("got %q", got)
		}
	}
	// And others' deadlines are met.
	pinged := errors.New("pinged")
	c.SetPingHandler(func(string) error { return pinged })
	if _, _, err := c.ReadMessage(); err != pinged {
		t.Errorf("got %v, want a ping", err)
	}
}
