//go:build linux

package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/upgrade"
)

// asNamed is a guard that believes the query.
var asNamed = upgrade.Guard{OnBeforeUpgrade: func(r *upgrade.Request) (http.Header, error) {
	if name := string(r.RawQuery()); name != "" {
		r.Identity = &upgrade.Identity{Subject: name}
	}
	return nil, nil
}}

// TestInspect: the connections that come first in each order, on all loops, and only those that
// match.
func TestInspect(t *testing.T) {
	s := &Server{Loops: 2, TrackConns: true}
	s.Route("/ws/{room}", Route{Guards: []upgrade.Guard{asNamed}, Message: func(c Conn, m Message) error { return c.Send(m.Opcode, m.Data) }})
	addr := start(t, s)
	const conns = 700 // more than a loop looks at in a turn
	all := make([]*websocket.Conn, conns)
	for k := range all {
		room, name := "many", ""
		if k%100 == 0 {
			room, name = "few", fmt.Sprint("user-", k%200)
		}
		all[k] = dial(t, addr, "/ws/"+room+"?"+name)
	}
	for k, n := range map[int]int{5: 3, 300: 2, 699: 1} {
		for range n {
			say(t, all[k], "hi")
			read(t, all[k])
		}
	}
	ask := func(q ConnQuery) []ConnInfo {
		t.Helper()
		top, matching, err := s.Inspect(context.Background(), q)
		if want := map[string]int{"user-0": 4, "user-100": 3}[q.User]; err != nil || q.User != "" && matching != want || q.User == "" && q.Path == nil && matching != conns {
			t.Fatalf("%+v: %d match, %v", q, matching, err)
		}
		return top
	}
	messages := func(top []ConnInfo) (n []int64) {
		for _, i := range top {
			n = append(n, i.Messages)
		}
		return n
	}
	if got := messages(ask(ConnQuery{By: ByMessages, Max: 4})); !slices.Equal(got, []int64{3, 2, 1, 0}) {
		t.Errorf("by messages: got %v", got)
	}
	old := ask(ConnQuery{By: ByAge})
	if len(old) != 100 || !slices.IsSortedFunc(old, func(a, b ConnInfo) int { return a.Opened.Compare(b.Opened) }) {
		t.Errorf("by age: %d, of which the first is of %v", len(old), old[0].Opened)
	}
	if first := old[0]; first.User != "user-0" || first.Path["room"] != "few" || first.Route != "/ws/{room}" || !strings.HasPrefix(first.Remote, "127.0.0.1:") ||
		first.BytesIn < 100 || first.BytesOut < 100 || time.Since(first.Opened) > time.Hour || time.Since(first.Opened) < 0 {
		t.Errorf("the oldest: %+v", first)
	}
	for _, i := range ask(ConnQuery{User: "user-100", Max: 1000}) {
		if i.User != "user-100" {
			t.Errorf("of user-100: %+v", i)
		}
	}
	few := ask(ConnQuery{Path: map[string]string{"room": "few"}, By: ByMessages})
	if got := messages(few); !slices.Equal(got, []int64{2, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("in a room: got %v", got)
	}
	one, ok, err := s.InspectConn(context.Background(), few[0].ID)
	if err != nil || !ok || one.ID != few[0].ID || one.Messages != 2 || !one.Opened.Equal(few[0].Opened) {
		t.Errorf("by its ID: %+v, %v, %v", one, ok, err)
	}
	all[300].Close()
	eventually(t, "the connection has ended", func() bool { _, ok := s.Conn(one.ID); return !ok })
	for _, id := range []string{one.ID, "", "x", one.ID + "0"} {
		if _, ok, err := s.InspectConn(context.Background(), id); ok || err != nil {
			t.Errorf("%q: %v, %v", id, ok, err)
		}
	}
	// All of them, and those that came in the places of others begin anew.
	for k, c := range all {
		if k != 5 && k != 6 {
			c.Close()
		}
	}
	eventually(t, "two are left", func() bool { return s.total() == 2 })
	if top, matching, err := s.Inspect(context.Background(), ConnQuery{Max: 1000}); err != nil || len(top) != 2 || matching != 2 {
		t.Errorf("%d of %d, %v", len(top), matching, err)
	}
}

// TestInspectBadly: what cannot be asked is an error, and nobody waits who should not.
func TestInspectBadly(t *testing.T) {
	held, let := make(chan struct{}), make(chan struct{})
	onLoop := make(chan error, 2)
	s := &Server{Loops: 2}
	s.Route("/", Route{Message: func(c Conn, m Message) error {
		_, _, err := s.Inspect(context.Background(), ConnQuery{})
		onLoop <- err
		_, _, err = s.InspectConn(context.Background(), c.ID())
		onLoop <- err
		close(held)
		<-let
		return nil
	}})
	if _, _, err := s.Inspect(context.Background(), ConnQuery{}); err == nil {
		t.Error("before the start: no error")
	}
	addr := start(t, s)
	for _, q := range []ConnQuery{{Max: -1}, {Max: mostInspected + 1}, {By: 77}, {By: ByAge}, {By: ByMessages}} {
		if _, _, err := s.Inspect(context.Background(), q); err == nil {
			t.Errorf("%+v: no error", q)
		}
	}
	if top, matching, err := s.Inspect(context.Background(), ConnQuery{}); len(top) != 0 || matching != 0 || err != nil {
		t.Errorf("of nobody: %v %d %v", top, matching, err)
	}
	c := dial(t, addr, "/")
	say(t, c, "hold")
	<-held
	for range 2 {
		if err := <-onLoop; err != ErrOnLoop {
			t.Errorf("in a callback: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	gone := make(chan error, 1)
	go func() { _, _, err := s.Inspect(ctx, ConnQuery{}); gone <- err }()
	eventually(t, "one is under way", s.isInspecting.Load)
	if _, _, err := s.Inspect(context.Background(), ConnQuery{}); !errors.Is(err, ErrInspecting) {
		t.Errorf("a second: %v", err)
	}
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	close(let)
	eventually(t, "the first has ended", func() bool { return !s.isInspecting.Load() })
	if top, _, err := s.Inspect(context.Background(), ConnQuery{}); len(top) != 1 || err != nil {
		t.Errorf("later: %v %v", top, err)
	}
}

// TestSlowness: why a connection is slow.
func TestSlowness(t *testing.T) {
	s := &Server{Loops: 1, MaxBacklog: 64 << 20, TrackConns: true}
	s.Route("/flood", Route{Message: func(c Conn, m Message) error { return c.Send(frame.OpBinary, make([]byte, 32<<20)) }})
	s.Route("/strict/{token}", Route{Limits: Limits{Messages: limiter.Rate{Limit: 1. / 3600, Burst: 1}, Over: Delay}})
	addr := start(t, s)
	reasons := func(path string) map[string]string {
		top, _, err := s.Inspect(context.Background(), ConnQuery{})
		if err != nil {
			t.Fatal(err)
		}
		all := make(map[string]string)
		for _, i := range top {
			if strings.HasPrefix(i.Route, path) {
				for _, r := range i.Slow {
					all[r.Code] = r.Text
				}
			}
		}
		return all
	}
	flooded := dial(t, addr, "/flood")
	say(t, flooded, "more")
	eventually(t, "a backlog", func() bool { return reasons("/flood")["backlog"] != "" && reasons("/flood")["unsent"] != "" })
	loud := dial(t, addr, "/strict/s3cret-s3cret-s3cret")
	for range 3 {
		say(t, loud, "hi")
	}
	eventually(t, "a limit", func() bool { return strings.Contains(reasons("/strict")["limit"], "over a limit") })
	top, _, err := s.Inspect(context.Background(), ConnQuery{})
	if err != nil || len(top) != 2 || top[0].Route != "/flood" || top[0].Buffered < 1<<20 {
		t.Fatalf("%+v, %v", top, err)
	}
	if i := top[1]; i.Path["token"] != "REDACTED" || len(i.Limits) != 1 || i.Limits[0].Wait < time.Minute || i.Limits[0].Over != "delay" {
		t.Errorf("%+v", i)
	}
}

// TestToursTakeTurns: a look through a table that is mostly empty takes turns, as one through a
// full table does.
func TestToursTakeTurns(t *testing.T) {
	l := newHall(t)
	const slots = 3 * slotsPerTurn
	seat(l, slots, nil)
	for i := uint32(1); i < slots; i++ {
		l.Drive().Unseat(l.At(i))
	}
	found := 0
	tour := &tour{l, 1, func(_ *loop, s link) bool {
		if !takesPosts(s) {
			return false
		}
		found++
		return true
	}, make(chan struct{}, 1)}
	for turns := uint32(1); tour.next < l.Slots(); turns++ {
		tour.goOn()
		if want := min(1+turns*slotsPerTurn, l.Slots()); tour.next != want {
			t.Fatalf("turn %d ended at slot %d, want %d", turns, tour.next, want)
		}
	}
	if found != 1 {
		t.Errorf("%d were found, want 1", found)
	}
}

// TestAuthorizersHaveFiles: a route with an Authorize leaves it descriptors to ask with.
func TestAuthorizersHaveFiles(t *testing.T) {
	room := func(r Route) int {
		s := &Server{Loops: 1}
		s.Route("/", r)
		s.setRoom()
		return s.room
	}
	if without, with := room(Route{}), room(Route{Authorize: func(context.Context, *upgrade.Request) error { return nil }}); without-with != authorizeFiles {
		t.Errorf("room for %d with an Authorize, %d without", with, without)
	}
}
