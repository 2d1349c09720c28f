//go:build linux

package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/upgrade"
)

// hourly is a rate that gives nothing back while a test runs.
func hourly(burst int) limiter.Rate {
	return limiter.Rate{Limit: limiter.Every(time.Hour), Burst: burst}
}

// change has the server go over to its policy as f changes it.
func change(t testing.TB, s *Server, f func(p *Policy)) {
	t.Helper()
	p := s.Policy()
	f(&p)
	if err := s.SetPolicy(p); err != nil {
		t.Fatal(err)
	}
}

// setLimits changes the limits of a route.
func setLimits(t testing.TB, s *Server, path string, limits Limits) {
	t.Helper()
	change(t, s, func(p *Policy) { p.Routes[path] = RoutePolicy{Limits: limits} })
}

// TestPolicyOfLiveConnections: each connection goes by the new rates from its next message
// on, and what it has used stays used.
func TestPolicyOfLiveConnections(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		before     limiter.Rate
		sent       int // before the change, of which all are echoed
		after      limiter.Rate
		then, want int // sent after it, and echoed of that
	}{
		{"limited", limiter.Rate{}, 9, hourly(3), 5, 3},
		{"unlimited", hourly(9), 8, limiter.Rate{}, 5, 5},
		{"same", hourly(9), 6, hourly(9), 5, 3},
		{"more at once", hourly(9), 6, hourly(10), 5, 4},
		{"fewer at once", hourly(9), 6, hourly(4), 5, 0},
		{"fewer, and not used", hourly(9), 1, hourly(3), 5, 2},
		{"as often, in another unit", hourly(9), 6, limiter.Rate{Limit: limiter.Every(24 * time.Hour), Burst: 9}, 5, 3},
	} {
		for _, over := range []Action{Drop, Delay} {
			t.Run(fmt.Sprint(tt.name, " ", over), func(t *testing.T) {
				t.Parallel()
				s := &Server{Loops: 2}
				s.Route("/echo", Route{Message: echo, Limits: Limits{Messages: tt.before, Over: over}})
				addr := start(t, s)
				c := talk(t, addr, "/echo")
				c.conn.Write(append(volley(0, tt.sent), endPing...))
				if got, _ := c.upTo(frame.OpPong); !slices.Equal(got, numbers(tt.sent)) {
					t.Fatalf("before: got %q, want all %d", got, tt.sent)
				}
				setLimits(t, s, "/echo", Limits{Messages: tt.after, Over: Drop})
				c.conn.Write(append(volley(0, tt.then), endPing...))
				if got, _ := c.upTo(frame.OpPong); !slices.Equal(got, numbers(tt.want)) {
					t.Errorf("after: got %q, want %d of %d", got, tt.want, tt.then)
				}
			})
		}
	}
}

// TestPolicyEndsDelays: a connection that would wait for an hour is read when it need not any
// more, and what it owed to the buckets it shares does not stay behind.
func TestPolicyEndsDelays(t *testing.T) {
	t.Parallel()
	s := &Server{MessagesPerIP: hourly(1)}
	s.Route("/echo", Route{Message: echo, Limits: Limits{Messages: hourly(1), Over: Delay}})
	addr := start(t, s)
	c := talk(t, addr, "/echo")
	c.conn.Write(volley(0, 3))
	if _, got, err := c.next(); got != "0" || err != nil {
		t.Fatalf("got %q, %v", got, err)
	}
	waits := func() (n int) {
		s.tour(s.loops, func(*loop) {}, func(_ *loop, at link) bool {
			if at.Data().facts.isUsers() && at.Why()&byDelay != 0 {
				n++
			}
			return true
		})
		return n
	}
	eventually(t, "it waits", func() bool { return waits() == 1 })
	change(t, s, func(p *Policy) { p.MessagesPerUser = hourly(5) }) // which says nothing of it
	eventually(t, "it waits again", func() bool { return waits() == 1 })
	change(t, s, func(p *Policy) {
		p.MessagesPerIP = limiter.Rate{}
		p.Routes["/echo"] = RoutePolicy{Limits: Limits{Messages: hourly(100), Over: Drop}}
	})
	for _, want := range []string{"1", "2"} {
		if _, got, err := c.next(); got != want || err != nil {
			t.Fatalf("got %q, %v, want %s", got, err, want)
		}
	}
}

// TestPolicyCountsThoseThere: limits by address and user that come later count the connections
// that are there, and those that go when there is no limit any more leave nothing behind.
func TestPolicyCountsThoseThere(t *testing.T) {
	t.Parallel()
	s := &Server{Loops: 2}
	s.Route("/echo", Route{Message: echo, Guards: []upgrade.Guard{{OnBeforeUpgrade: func(r *upgrade.Request) (http.Header, error) {
		if user := string(r.RawQuery()); user != "" {
			r.Identity = &upgrade.Identity{Subject: user}
		}
		return nil, nil
	}}}})
	addr := start(t, s)
	knock := func(path string) int {
		c, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+path, nil)
		if err == nil {
			t.Cleanup(func() { c.Close() })
		}
		return resp.StatusCode
	}
	dial(t, addr, "/echo")
	first := dial(t, addr, "/echo?alice")
	local := networkOf(netip.MustParseAddr("127.0.0.1"))

	change(t, s, func(p *Policy) { p.MaxConnsPerIP = 3 })
	if got := []int{s.perIP.InUse(local), knock("/echo"), knock("/echo")}; !slices.Equal(got, []int{2, 101, 429}) {
		t.Errorf("places and verdicts: got %d", got)
	}
	change(t, s, func(p *Policy) { p.MaxConnsPerIP, p.MaxConnsPerUser = 0, 1 })
	if got := []int{knock("/echo?alice"), knock("/echo?bob"), knock("/echo?bob"), knock("/echo")}; !slices.Equal(got, []int{429, 101, 429, 101}) {
		t.Errorf("one for each user: got %d", got)
	}
	first.Close()
	eventually(t, "alice's place is free", func() bool { return knock("/echo?alice") == 101 })
	change(t, s, func(p *Policy) { p.MaxConnsPerUser, p.MaxConns = 0, 1 })
	if got := knock("/echo"); got != 503 {
		t.Errorf("MaxConns 1: got %d", got)
	}
	change(t, s, func(p *Policy) { p.MaxConns = 0; p.ConnRate = hourly(1) })
	if got := []int{knock("/echo"), knock("/echo")}; !slices.Equal(got, []int{101, 429}) {
		t.Errorf("ConnRate: got %d", got)
	}
	change(t, s, func(p *Policy) { p.LimitDryRun = true })
	if got := knock("/echo"); got != 101 {
		t.Errorf("a dry run: got %d", got)
	}
	change(t, s, func(p *Policy) { p.LimitDryRun, p.ConnRate, p.MessagesPerIP = false, limiter.Rate{}, hourly(1) })
	eventually(t, "all have a place by address", func() bool { return s.perIP.InUse(local) == s.Sockets() })
	change(t, s, func(p *Policy) { p.MessagesPerIP = limiter.Rate{} })
	for c := range s.All(t) {
		c.Close(frame.StatusNormalClosure, "")
	}
	eventually(t, "all go, and leave no place", func() bool { return s.perIP.InUse(local) == 0 })
}

// All returns the open connections.
func (s *Server) All(t testing.TB) map[Conn]bool {
	all := make(map[Conn]bool)
	if err := s.Each(func(c Conn) { all[c] = true }); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestPolicyOfMessages: a message is as large as the new policy wants, also one that has begun.
func TestPolicyOfMessages(t *testing.T) {
	t.Parallel()
	s := &Server{MaxMessage: 1000}
	s.Route("/echo", Route{Message: echo})
	addr := start(t, s)
	c := dial(t, addr, "/echo")
	begun := talk(t, addr, "/echo")
	begun.conn.Write(append(frame.AppendHeader(nil, frame.Header{Opcode: frame.OpText, Masked: true, Length: 100}), make([]byte, 100)...))
	begun.conn.Write(endPing)
	begun.upTo(frame.OpPong)
	change(t, s, func(p *Policy) { p.MaxMessage = 10 })
	say(t, c, strings.Repeat("x", 11))
	if _, _, err := c.ReadMessage(); !websocket.IsCloseError(err, 1009) {
		t.Errorf("11 bytes: got %v", err)
	}
	begun.conn.Write(frame.AppendHeader(nil, frame.Header{Fin: true, Opcode: frame.OpContinuation, Masked: true, Length: 1}))
	if _, last := begun.upTo(frame.OpClose); !strings.HasPrefix(last, "\x03\xf1") {
		t.Errorf("a message of 100 bytes that has begun: got % x", last)
	}
	c = dial(t, addr, "/echo")
	change(t, s, func(p *Policy) { p.MaxMessage = -1 })
	say(t, c, strings.Repeat("x", 100_000))
	if got := read(t, c); len(got) != 100_000 {
		t.Errorf("no limit: got %d bytes", len(got))
	}
}

// TestPolicyErrors: what is wrong changes nothing.
func TestPolicyErrors(t *testing.T) {
	t.Parallel()
	s := &Server{MaxConnsPerUser: 7, Origins: []string{"https://a.example"}}
	inside := make(chan error, 1)
	s.Route("/echo", Route{Limits: Limits{Messages: hourly(9)}, Open: func(c Conn) error {
		inside <- c.loop.srv.SetPolicy(c.loop.srv.Policy())
		return nil
	}})
	if err := s.SetPolicy(s.Policy()); err == nil {
		t.Error("before Start: there is no error")
	}
	addr := start(t, s)
	before := s.Policy()
	for name, f := range map[string]func(p *Policy){
		"an origin":       func(p *Policy) { p.Origins = []string{"https://b.example/"} },
		"MaxHead":         func(p *Policy) { p.MaxHead = -1 },
		"too large heads": func(p *Policy) { p.MaxHead = upgrade.MaxHeaderLimit + 1 },
		"no such route":   func(p *Policy) { p.Routes["/nowhere"] = RoutePolicy{} },
		"MaxConns":        func(p *Policy) { p.MaxConns = 1 << 30 },
	} {
		p := s.Policy()
		p.MaxConnsPerUser, p.MessagesPerUser = 1, hourly(1)
		p.Routes["/echo"] = RoutePolicy{}
		f(&p)
		if err := s.SetPolicy(p); err == nil || errors.Is(err, ErrFiles) != (name == "MaxConns") {
			t.Errorf("%s: got %v", name, err)
		}
		if got := s.Policy(); !reflect.DeepEqual(got, before) {
			t.Errorf("%s: it changed to %+v", name, got)
		}
	}
	dial(t, addr, "/echo")
	if err := <-inside; err != ErrOnLoop {
		t.Errorf("in a callback: got %v", err)
	}
	change(t, s, func(p *Policy) { p.Routes, p.MaxConnsPerUser = nil, 8 })
	if got := s.Policy(); got.Routes["/echo"].Limits.Messages != hourly(9) || got.MaxConnsPerUser != 8 {
		t.Errorf("a route that is left out: got %+v", got)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := s.SetPolicy(before); err == nil {
		t.Error("after Shutdown: there is no error")
	}
}

// TestPolicyOfTheAsked: a request whose token takes long is judged by the policy of when it came,
// by that one in all, and what comes meanwhile by the new one.
func TestPolicyOfTheAsked(t *testing.T) {
	t.Parallel()
	const page = "https://page.example"
	g := &gate{asked: make(chan struct{}), open: make(chan struct{})}
	s := &Server{Origins: []string{page}}
	s.Route("/echo", Route{Message: echo, Guards: []upgrade.Guard{upgrade.Bearer(g)}})
	addr := start(t, s)
	knock := func() int {
		c, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+"/echo?token=t", http.Header{"Origin": {page}})
		if err == nil {
			t.Cleanup(func() { c.Close() })
		}
		return resp.StatusCode
	}
	early := make(chan int)
	go func() { early <- knock() }()
	<-g.asked
	change(t, s, func(p *Policy) {
		p.Origins, p.MaxConnsPerUser, p.MaxConnsPerIP = nil, 1, 1
		p.Routes["/echo"] = RoutePolicy{Limits: Limits{Messages: hourly(1)}, Guards: []upgrade.Guard{{OnBeforeUpgrade: func(*upgrade.Request) (http.Header, error) {
			return nil, upgrade.Reject(418, "teapot", "")
		}}}}
	})
	if got := knock(); got != 403 {
		t.Errorf("by the new policy: got %d, want 403 for the origin", got)
	}
	close(g.open)
	if got := <-early; got != 101 {
		t.Errorf("by the old policy: got %d, want 101", got)
	}
	if got := knock(); got != 429 {
		t.Errorf("it counts for its address: got %d, want 429", got)
	}
}

// TestPolicyUnderConnects: while the policy goes to and fro, everybody who comes is judged by one
// of the two and never by a part of each; none is lost.
func TestPolicyUnderConnects(t *testing.T) {
	t.Parallel()
	of := func(name string) (origins []string, r RoutePolicy) {
		return []string{"https://" + name + ".example"}, RoutePolicy{Guards: []upgrade.Guard{{OnBeforeUpgrade: func(r *upgrade.Request) (http.Header, error) {
			if string(r.RawQuery()) != name {
				return nil, upgrade.Reject(401, "by_"+name, "")
			}
			return nil, nil
		}}}}
	}
	s := &Server{Loops: 2}
	origins, route := of("a")
	s.Origins = origins
	s.Route("/echo", Route{Message: echo, Guards: route.Guards})
	addr := start(t, s)

	const clients, visits, changes = 8, 100, 100
	var verdicts [3]atomic.Int64 // let in, refused by a, refused by b
	var all sync.WaitGroup
	done := make(chan struct{})
	for k := range clients {
		all.Go(func() {
			for n := 0; n < visits || !isClosed(done); n++ {
				page, user := "ab"[n&1:n&1+1], "ab"[(n+k)>>1&1:(n+k)>>1&1+1]
				c, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+"/echo?"+user, http.Header{"Origin": {"https://" + page + ".example"}})
				switch {
				case resp == nil:
					t.Errorf("no answer: %v", err)
					return
				case err == nil:
					verdicts[0].Add(1)
					if err := c.WriteMessage(websocket.TextMessage, []byte("hi")); err != nil {
						t.Error(err)
					}
					if _, b, err := c.ReadMessage(); string(b) != "hi" {
						t.Errorf("got %q, %v", b, err)
					}
					c.Close()
					if page != user {
						t.Errorf("a page of %s is let in as %s: the origin by one policy, the guard by the other", page, user)
					}
				case resp.StatusCode == 401: // a page that the policy lists, and a user whom it does not let in
					verdicts[1].Add(1)
					if page == user {
						t.Errorf("a page of %s is refused as %s", page, user)
					}
				case resp.StatusCode == 403:
					verdicts[2].Add(1)
				default:
					t.Errorf("got %d", resp.StatusCode)
				}
			}
		})
	}
	for n := range changes {
		change(t, s, func(p *Policy) { p.Origins, p.Routes["/echo"] = of("ba"[n&1 : n&1+1]) })
	}
	close(done)
	all.Wait()
	for k := range verdicts {
		if verdicts[k].Load() == 0 {
			t.Errorf("verdict %d never came", k)
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
