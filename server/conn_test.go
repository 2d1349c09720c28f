//go:build linux

package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/upgrade"
)

// Messages that other goroutines send arrive each in its caller's order, mixed
// with the connection's own answers.
func TestSendFromManyGoroutines(t *testing.T) {
	const senders, each = 8, 500
	s := &Server{Loops: 2, MaxBacklog: 8 << 20}
	conns := make(chan Conn, 1)
	s.Route("/echo", Route{Message: echo, Open: func(c Conn) error { conns <- c; return nil }})
	c := dial(t, start(t, s), "/echo")
	conn := <-conns
	var wg sync.WaitGroup
	for k := range senders {
		wg.Go(func() {
			for n := range each {
				for conn.Send(frame.OpText, fmt.Appendf(nil, "%d %d", k, n)) != nil {
					time.Sleep(time.Millisecond) // ErrBacklog: the loop is behind
				}
			}
		})
	}
	for range each {
		say(t, c, "own")
	}
	var next [senders]int
	own := 0
	for range (senders + 1) * each {
		text := read(t, c)
		if text == "own" {
			own++
			continue
		}
		var k, n int
		fmt.Sscanf(text, "%d %d", &k, &n)
		if n != next[k] {
			t.Fatalf("sender %d: got message %d, want %d", k, n, next[k])
		}
		next[k]++
	}
	wg.Wait()
	if own != each {
		t.Errorf("%d echoes, want %d", own, each)
	}
}

// A handler may say goodbye and close, also when other goroutines are sending.
func TestCloseComesAfterWhatWasSent(t *testing.T) {
	s := &Server{}
	ends := make(chan error, 1)
	s.Route("/error", Route{
		Message: func(c Conn, m Message) error {
			c.Send(m.Opcode, []byte("last words"))
			return &CloseError{Code: 4000, Reason: "done"}
		},
		Close: func(c Conn, err error) {
			if c.Send(frame.OpText, []byte("too late")) != net.ErrClosed {
				t.Error("a closed connection took a message")
			}
			ends <- err
		},
	})
	s.Route("/close", Route{
		Message: func(c Conn, m Message) error {
			c.Send(m.Opcode, []byte("last words"))
			c.Close(4000, "done")
			if err := c.Close(4001, "again"); err != net.ErrClosed {
				t.Errorf("second close: got %v, want net.ErrClosed", err)
			}
			return c.Send(m.Opcode, nil) // net.ErrClosed, which must not change the code
		},
		Close: func(_ Conn, err error) { ends <- err },
	})
	addr := start(t, s)
	for _, path := range []string{"/error", "/close"} {
		c := dial(t, addr, path)
		say(t, c, "x")
		say(t, c, "never handled")
		if got := read(t, c); got != "last words" {
			t.Errorf("%s: got %q", path, got)
		}
		if e := closeOf(t, c); e.Code != 4000 || e.Text != "done" {
			t.Errorf("%s: closed with %v", path, e)
		}
		var e *CloseError
		if err := <-ends; !errors.As(err, &e) || e.Code != 4000 {
			t.Errorf("%s: Close was told %v", path, err)
		}
	}
}

func TestHandlersThatFail(t *testing.T) {
	s := &Server{}
	s.Route("/panic", Route{Message: func(Conn, Message) error { panic("no") }})
	s.Route("/error", Route{Message: func(Conn, Message) error { return errors.New("secret") }})
	s.Route("/open", Route{Open: func(Conn) error { return &CloseError{Code: 4321, Reason: "not now"} }})
	s.Route("/end", Route{Close: func(Conn, error) { panic("no") }})
	addr := start(t, s)
	for _, path := range []string{"/panic", "/error"} {
		c := dial(t, addr, path)
		say(t, c, "x")
		if e := closeOf(t, c); e.Code != 1011 || strings.Contains(e.Text, "secret") {
			t.Errorf("%s: closed with %v", path, e)
		}
	}
	if e := closeOf(t, dial(t, addr, "/open")); e.Code != 4321 || e.Text != "not now" {
		t.Errorf("/open: closed with %v", e)
	}
	dial(t, addr, "/end").Close()
	c := dial(t, addr, "/panic") // the loop has survived
	say(t, c, "x")
	closeOf(t, c)
}

// A guard or an Upgrade hook that panics, whatever was decided before, is a 500 that
// says nothing, and a line in the log.
func TestDoorsThatFail(t *testing.T) {
	said := new(journal)
	s := &Server{Loops: 1, MaxConnsPerIP: 1, Logger: slog.New(slog.NewTextHandler(said, nil))}
	hook := func(before bool) []Middleware {
		return []Middleware{{Upgrade: func(next UpgradeFunc) UpgradeFunc {
			return func(r *upgrade.Request) error {
				if !before {
					_ = next(r)
				}
				panic("secret")
			}
		}}}
	}
	no := []upgrade.Guard{{OnRequest: func(*upgrade.Request) error { return upgrade.Reject(403, "no", "") }}}
	s.Route("/guard", Route{Guards: []upgrade.Guard{{OnRequest: func(*upgrade.Request) error { panic("secret") }}}})
	s.Route("/slow", Route{Guards: []upgrade.Guard{upgrade.Bearer(brokenVerifier{}, upgrade.Query("token"))}})
	s.Route("/before", Route{Middleware: hook(true)})
	s.Route("/let-in", Route{Middleware: hook(false)})
	s.Route("/refused", Route{Middleware: hook(false), Guards: no})
	s.Route("/no", Route{Guards: no})
	s.Route("/echo", Route{Message: echo})
	addr := start(t, s)
	for path, want := range map[string]int{"/guard": 500, "/slow?token=x": 500, "/before": 500, "/let-in": 500, "/refused": 500, "/no": 403} {
		_, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+path, nil)
		if resp == nil {
			t.Fatalf("%s: %v", path, err)
		}
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != want || strings.Contains(string(body), "secret") {
			t.Errorf("%s: got %v, %q", path, resp, body)
		}
	}
	c := dial(t, addr, "/echo") // the loop has survived, and no quota is taken
	say(t, c, "x")
	read(t, c)
	eventually(t, "five panics are logged", func() bool {
		return strings.Count(said.String(), `msg="server: panic in a handler" panic=secret stack=`) == 5
	})
}

// brokenVerifier fails before it could verify.
type brokenVerifier struct{}

func (brokenVerifier) Begin([]byte, time.Time) upgrade.Verification { panic("secret") }

func (brokenVerifier) Verify([]byte, time.Time) (*upgrade.Identity, error) { return nil, nil }

// The first middleware listed is the outermost, at each of the five hooks, and that is
// how AppendRoutes shows them.
func TestMiddlewareOrder(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	note := func(what string) { mu.Lock(); seen = append(seen, what); mu.Unlock() }
	named := func(name string) Middleware {
		return Middleware{
			Name: name,
			Upgrade: func(next UpgradeFunc) UpgradeFunc {
				return func(r *upgrade.Request) error {
					note(name + " upgrade")
					defer note(name + " upgraded")
					return next(r)
				}
			},
			Open: func(next OpenFunc) OpenFunc {
				return func(c Conn) error { note(name + " open"); return next(c) }
			},
			Message: func(next MessageFunc) MessageFunc {
				return func(c Conn, m Message) error { note(name + " message"); return next(c, m) }
			},
			Send: func(next SendFunc) SendFunc {
				return func(m Message) error {
					note(name + " send")
					m.Data = append(m.Data, '<', name[0])
					return next(m)
				}
			},
			Close: func(next CloseFunc) CloseFunc {
				return func(c Conn, err error) { note(name + " close"); next(c, err) }
			},
		}
	}
	g := NewGroup(named("A"), named("B"), named("C"))
	ended := make(chan bool)
	s := &Server{}
	s.Use(named("A"))
	s.Route("/ws", Route{
		Middleware: []Middleware{named("B"), named("C")},
		Open:       func(c Conn) error { return g.Join(c) },
		Message:    func(_ Conn, m Message) error { return g.Send(m.Opcode, m.Data) },
		Close:      func(Conn, error) { close(ended) },
	})
	c := dial(t, start(t, s), "/ws")
	say(t, c, "x")
	if got := read(t, c); got != "x<A<B<C" {
		t.Errorf("got %q", got)
	}
	c.Close()
	<-ended
	want := []string{"A upgrade", "B upgrade", "C upgrade", "C upgraded", "B upgraded", "A upgraded",
		"A open", "B open", "C open", "A message", "B message", "C message",
		"A send", "B send", "C send", "A close", "B close", "C close"}
	mu.Lock()
	defer mu.Unlock()
	if !slices.Equal(seen, want) {
		t.Errorf("got  %q\nwant %q", seen, want)
	}
	const hooks = "(upgrade, open, message, send, close)"
	shown := "  middleware  A " + hooks + "\n              B " + hooks + "\n              C " + hooks + "\n"
	if got := string(s.AppendRoutes(nil)); !strings.HasSuffix(got, shown) {
		t.Errorf("got\n%swant\n%s", got, shown)
	}
}

// A hook may refuse whom the door lets in, but not let in whom the door refuses.
func TestUpgradeHookAndDoor(t *testing.T) {
	s := &Server{}
	swallow := Middleware{Upgrade: func(next UpgradeFunc) UpgradeFunc {
		return func(r *upgrade.Request) error { next(r); return nil }
	}}
	refuse := Middleware{Upgrade: func(next UpgradeFunc) UpgradeFunc {
		return func(r *upgrade.Request) error {
			if err := next(r); err != nil {
				return err
			}
			return upgrade.Reject(418, "teapot", "short and stout")
		}
	}}
	no := upgrade.Guard{OnRequest: func(*upgrade.Request) error { return upgrade.Reject(403, "no", "no") }}
	s.Route("/swallow", Route{Guards: []upgrade.Guard{no}, Middleware: []Middleware{swallow}})
	s.Route("/refuse", Route{Middleware: []Middleware{refuse}})
	addr := start(t, s)
	for path, want := range map[string]int{"/swallow": 403, "/refuse": 418, "/none": 404} {
		_, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+path, nil)
		if err == nil || resp == nil || resp.StatusCode != want {
			t.Errorf("%s: got %v %v, want %d", path, resp, err, want)
		}
	}
}

func TestAuthorize(t *testing.T) {
	s := &Server{MaxConnsPerIP: 2}
	s.Route("/{who}", Route{
		Message: echo,
		Authorize: func(ctx context.Context, r *upgrade.Request) error {
			switch r.PathValue("who") {
			case "friend":
				return nil
			case "foe":
				return upgrade.Reject(403, "foe", "not you")
			case "bug":
				panic("oops")
			}
			return errors.New("internal matter")
		},
	})
	addr := start(t, s)
	for range 3 { // more than the quota: it must come back each time
		c := dial(t, addr, "/friend")
		say(t, c, "hi")
		if got := read(t, c); got != "hi" {
			t.Errorf("got %q", got)
		}
		c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(time.Second))
		closeOf(t, c)
		for path, want := range map[string]int{"/foe": 403, "/bug": 500, "/other": 500, "/friend": 200} {
			req, _ := http.NewRequest("GET", "http://"+addr+path, nil)
			req.Header.Set("Accept", "application/problem+json")
			if resp, err := http.DefaultClient.Do(req); err != nil || resp.StatusCode != want {
				t.Errorf("probe of %s: got %v %v, want %d", path, resp, err, want)
			} else {
				resp.Body.Close()
			}
			if want == 200 {
				continue
			}
			_, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+path, nil)
			if err == nil || resp == nil || resp.StatusCode != want {
				t.Errorf("%s: got %v %v, want %d", path, resp, err, want)
			}
		}
	}
}

var retryHint = regexp.MustCompile("=[1-9][0-9]*$")

func TestLimitsOnTheWire(t *testing.T) {
	rate := Limits{Messages: limiter.Rate{Limit: limiter.Every(time.Hour), Burst: 2}}
	for action, want := range map[Action]string{
		Warn:       "1 2 warned",
		Drop:       "1 2",
		Disconnect: "1 2 1008 messages_limit; retry-after-ms=N",
	} {
		t.Run(action.String(), func(t *testing.T) {
			s := &Server{}
			r := Route{Message: echo, Limits: rate}
			r.Limits.Over = action
			r.OnLimit = func(c Conn, v Violation) {
				if v.Limit != "messages" || v.Rate != rate.Messages || v.RetryAfter > time.Hour || v.RetryAfter < 50*time.Minute {
					t.Errorf("violation: %+v", v)
				}
				c.Send(frame.OpText, []byte("warned"))
			}
			s.Route("/echo", r)
			c := dial(t, start(t, s), "/echo")
			for k := range 5 {
				say(t, c, fmt.Sprint(k+1))
			}
			c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(time.Second))
			var got []string
			for {
				_, b, err := c.ReadMessage()
				if e, ok := err.(*websocket.CloseError); ok {
					if e.Code != 1000 {
						got = append(got, fmt.Sprint(e.Code, " ", retryHint.ReplaceAllString(e.Text, "=N")))
					}
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, string(b))
			}
			if text := strings.Join(got, " "); text != want {
				t.Errorf("got %q, want %q", text, want)
			}
		})
	}
}

func TestByteLimitCloses(t *testing.T) {
	s := &Server{}
	s.Route("/echo", Route{Message: echo, Limits: Limits{
		Bytes: limiter.Rate{Limit: 1, Burst: 1000}, Over: Disconnect,
	}})
	c := dial(t, start(t, s), "/echo")
	say(t, c, strings.Repeat("x", 900))
	read(t, c)
	for range 3 { // pings are frames too
		c.WriteControl(websocket.PingMessage, nil, time.Now().Add(time.Second))
	}
	if e := closeOf(t, c); e.Code != 1008 || retryHint.ReplaceAllString(e.Text, "=N") != "bytes_limit; retry-after-ms=N" {
		t.Errorf("closed with %v", e)
	}
}

func TestQuotas(t *testing.T) {
	s := &Server{MaxConnsPerIP: 2}
	s.Route("/echo", Route{Message: echo})
	addr := start(t, s)
	a := dial(t, addr, "/echo")
	dial(t, addr, "/echo")
	_, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+"/echo", nil)
	if err == nil || resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Fatalf("third of two: got %v %v, want a 429 with Retry-After", resp, err)
	}
	a.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(time.Second))
	closeOf(t, a) // by now the place is free: it does not linger
	say(t, dial(t, addr, "/echo"), "in")
}

func TestFull(t *testing.T) {
	s := &Server{MaxConns: 2}
	s.Route("/echo", Route{Message: echo})
	addr := start(t, s)
	dial(t, addr, "/echo")
	dial(t, addr, "/echo")
	for range 50 { // more than the reserve: the oldest lingerers make room
		_, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+"/echo", nil)
		if err == nil || resp == nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
			t.Fatalf("third of two: got %v %v, want a 503 with Retry-After", resp, err)
		}
	}
}

func TestZeroConn(t *testing.T) {
	var c Conn
	if c.Send(frame.OpText, nil) != net.ErrClosed || c.Close(1000, "") != net.ErrClosed ||
		c.SendPrepared(frame.Prepare(frame.OpText, nil)) != net.ErrClosed {
		t.Error("a zero Conn is not closed")
	}
	if c.Identity() != nil || c.PathValue("x") != "" || c.Data() != nil || c.RemoteAddr().IsValid() || c.Buffered() != 0 {
		t.Error("a zero Conn knows something")
	}
	c.SetData(1)
}

// A client that says something to its group and closes in one breath hears it before the close.
func TestCloseBehindOnesOwnMessages(t *testing.T) {
	s := &Server{}
	g := NewGroup()
	s.Route("/room", Route{
		Open:    func(c Conn) error { return g.Join(c) },
		Message: func(_ Conn, m Message) error { return g.Send(m.Opcode, m.Data) },
	})
	c := rawDial(t, start(t, s), "/room")
	var breath []byte
	for _, text := range []string{"a", "b", "c"} {
		breath = append(breath, masked(frame.OpText, []byte(text))...)
	}
	breath = append(breath, masked(frame.OpPing, []byte("p"))...)
	breath = append(breath, masked(frame.OpClose, []byte("\x03\xe8bye"))...)
	c.Write(breath)
	got, _ := io.ReadAll(c)
	if want := "\x81\x01a\x81\x01b\x81\x01c\x8a\x01p\x88\x02\x03\xe8"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
