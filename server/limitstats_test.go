//go:build linux

package server

import (
	"fmt"
	"log/slog"
	"net/netip"
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

// TestDryRun: everything is counted and nothing happens, on each rung.
func TestDryRun(t *testing.T) {
	never := limiter.Rate{Limit: limiter.Every(time.Hour), Burst: 3}
	for _, over := range []Action{Warn, Drop, Delay, Disconnect} {
		t.Run(over.String(), func(t *testing.T) {
			s := &Server{LimitDryRun: true, MaxConnsPerIP: 1, MaxConnsPerUser: 1, ConnRate: limiter.Rate{Limit: limiter.Every(time.Hour), Burst: 2}}
			s.Route("/echo", Route{
				Guards: []upgrade.Guard{asUser}, Message: echo, Limits: Limits{Messages: never, Over: over},
				OnLimit: func(Conn, Violation) { t.Error("it was told") },
			})
			s.Route("/bytes", Route{
				Message: echo, Limits: Limits{Bytes: limiter.Rate{Limit: limiter.Every(time.Hour), Burst: 100}, Over: over},
			})
			addr := start(t, s)
			for range 3 {
				c := talk(t, addr, "/echo?alice")
				c.conn.Write(append(volley(0, 10), endPing...))
				if got, _ := c.upTo(frame.OpPong); !slices.Equal(got, numbers(10)) {
					t.Errorf("got %q", got)
				}
			}
			b := talk(t, addr, "/bytes")
			b.conn.Write(append(volley(0, 10), endPing...))
			if got, _ := b.upTo(frame.OpPong); !slices.Equal(got, numbers(10)) {
				t.Errorf("got %q", got)
			}
			act := over.String()
			want := map[LimitCount]bool{
				{"/echo", "messages", act, "messages_limit", 3 * 7}:       true,
				{"/bytes", "bytes", act, "bytes_limit", 9}:                true,
				{"/echo", "ip_conns", "refuse", "too_many_requests", 2}:   true,
				{"/bytes", "ip_conns", "refuse", "too_many_requests", 1}:  true,
				{"/echo", "user_conns", "refuse", "too_many_requests", 2}: true,
			}
			if over == Disconnect {
				delete(want, LimitCount{"/bytes", "bytes", act, "bytes_limit", 9})
				want[LimitCount{"/bytes", "bytes", act, "bytes_limit", 10}] = true // the ping too
			}
			for _, got := range s.LimitStats() {
				if !want[got] {
					t.Errorf("counted %+v", got)
				}
				delete(want, got)
			}
			for missing := range want {
				t.Errorf("not counted: %+v", missing)
			}
			if n := s.perIP.InUse(networkOf(netip.MustParseAddr("127.0.0.1"))); n != 4 {
				t.Errorf("%d connections are counted, want 4", n)
			}
		})
	}
}

// TestRefusalsAreCounted: by route, limit and code.
func TestRefusalsAreCounted(t *testing.T) {
	s := &Server{MaxConnsPerIP: 1, MaxConnsPerUser: 1}
	perUser := &limiter.Keyed[string]{Rate: limiter.Rate{Limit: limiter.Every(time.Hour), Burst: 1}}
	s.Route("/guard", Route{Guards: []upgrade.Guard{asUser, upgrade.Limit(perUser, upgrade.ByUser)}, Message: echo})
	addr := start(t, s)
	ask := func(path string, want int) {
		t.Helper()
		c, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+path, nil)
		if err == nil {
			resp.StatusCode = 101
			t.Cleanup(func() { c.Close() })
		}
		if resp == nil || resp.StatusCode != want || want == 429 && resp.Header.Get("Retry-After") == "" {
			t.Fatalf("%s: got %v %v, want %d", path, resp, err, want)
		}
	}
	ask("/guard?alice", 101)
	ask("/guard?bob", 429)
	ask("/nowhere", 429)
	s2 := &Server{}
	s2.Route("/guard", s.routes[0].Route)
	addr = start(t, s2)
	ask("/guard?alice", 429)
	for _, c := range []struct {
		s    *Server
		want []LimitCount
	}{
		{s, []LimitCount{{"/guard", "ip_conns", "refuse", "too_many_requests", 1}, {"", "ip_conns", "refuse", "too_many_requests", 1}}},
		{s2, []LimitCount{{"/guard", "guard", "refuse", "too_many_requests", 1}}},
	} {
		if got := c.s.LimitStats(); !slices.Equal(got, c.want) {
			t.Errorf("got %+v, want %+v", got, c.want)
		}
	}
}

// The log tells, at level debug, which limit and what was done, with the code of the
// close frame; once a second for a connection.
func TestLimitsAreLogged(t *testing.T) {
	var mu sync.Mutex
	var log strings.Builder
	lines := func() string { mu.Lock(); defer mu.Unlock(); return log.String() }
	s := &Server{Logger: slog.New(slog.NewTextHandler(writerFunc(func(b []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(b)
	}), &slog.HandlerOptions{Level: slog.LevelDebug}))}
	never := limiter.Rate{Limit: limiter.Every(time.Hour), Burst: 1}
	s.Route("/echo", Route{Message: echo, Limits: Limits{Messages: never, Over: Drop, CloseAfter: 20}})
	c := talk(t, start(t, s), "/echo")
	c.conn.Write(volley(0, 30))
	_, last := c.upTo(frame.OpClose)
	ms, _ := strings.CutPrefix(last, "\x03\xf0messages_limit; retry-after-ms=")
	var hint int
	if _, err := fmt.Sscan(ms, &hint); err != nil || hint < 3.5e6 || hint > 3.6e6 {
		t.Errorf("close %q, want a retry in an hour", last)
	}
	const common = `msg="server: over a limit" route=/echo remote=127.0.0.1:`
	eventually(t, "the log", func() bool { return strings.Contains(lines(), "action=close") })
	got := lines()
	if strings.Count(got, common) > 4 || !strings.Contains(got, "code=messages_limit action=drop enforced=true") ||
		!strings.Contains(got, "code=messages_limit action=close enforced=true") {
		t.Errorf("got\n%s", got)
	}
}

type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
