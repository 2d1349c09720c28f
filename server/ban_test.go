//go:build linux

package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/upgrade"
)

// refusalOf dials, and returns the status and the body of the answer if it is a refusal.
func refusalOf(t *testing.T, addr, path string, header ...string) (status int, body string) {
	t.Helper()
	h := http.Header{}
	for k := 0; k < len(header); k += 2 {
		h.Set(header[k], header[k+1])
	}
	c, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+path, h)
	if err == nil {
		c.Close()
		return resp.StatusCode, ""
	}
	if resp == nil {
		t.Fatalf("%s: %v", path, err)
	}
	b, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b)
}

// wantBanned checks that an answer is the one to a banned user.
func wantBanned(t *testing.T, what string, status int, body string) {
	t.Helper()
	if status != http.StatusForbidden || !strings.Contains(body, `"code":"banned"`) {
		t.Errorf("%s: got %d %s, want 403 banned", what, status, body)
	}
}

// TestBan: a user is refused until the ban ends, wherever its name is from, and nobody else is.
func TestBan(t *testing.T) {
	s := &Server{Loops: 2, MaxConnsPerUser: 5}
	s.Route("/{user}", Route{Guards: []upgrade.Guard{named}})
	s.Route("/guarded/{user}", Route{Guards: []upgrade.Guard{named, s.NotBanned(), {OnBeforeUpgrade: func(*upgrade.Request) (http.Header, error) {
		return nil, upgrade.Reject(http.StatusNotFound, "room_unknown", "")
	}}}})
	s.Route("/asked/{user}", Route{Authorize: func(_ context.Context, r *upgrade.Request) error {
		r.Identity = &upgrade.Identity{Subject: r.PathValue("user")}
		return nil
	}})
	s.Route("/shown/{user}", Route{Guards: []upgrade.Guard{named}, AcceptClose: true})
	s.Route("/open", Route{})
	if err := s.Ban("alice", time.Now().Add(time.Hour)); err != nil { // before Start, too
		t.Fatal(err)
	}
	addr := start(t, s)
	for _, path := range []string{"/alice", "/guarded/alice", "/asked/alice"} {
		status, body := refusalOf(t, addr, path)
		wantBanned(t, path, status, body)
	}
	c := dial(t, addr, "/shown/alice")
	if e := closeOf(t, c); e.Code != 4403 || e.Text != "banned" {
		t.Errorf("a page is told %v, want 4403 banned", e)
	}
	for _, path := range []string{"/guarded/alice", "/asked/alice"} {
		req, _ := http.NewRequest(http.MethodGet, "http://"+addr+path, nil)
		req.Header.Set("Accept", "application/problem+json")
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		wantBanned(t, "a probe of "+path, resp.StatusCode, string(b))
		if resp.Header.Get("Retry-After") != "" {
			t.Error("a 403 says Retry-After")
		}
	}
	for path, want := range map[string]int{"/bob": 101, "/asked/bob": 101, "/open": 101, "/guarded/bob": 404} {
		if status, body := refusalOf(t, addr, path); status != want {
			t.Errorf("%s: got %d %s, want %d", path, status, body, want)
		}
	}
	if n := s.Stats().Total.Refusals["banned"]; n != 6 {
		t.Errorf("%d refusals are counted, want 6, those of probes included", n)
	}
	if !s.Unban("alice") || s.Unban("alice") {
		t.Error("Unban: want true, and then false")
	}
	for _, path := range []string{"/alice", "/asked/alice"} {
		if status, body := refusalOf(t, addr, path); status != 101 {
			t.Errorf("%s when the ban is over: got %d %s", path, status, body)
		}
	}
	if err := s.Ban("", time.Now().Add(time.Hour)); err == nil {
		t.Error("nobody can be banned")
	}
}

// TestBanAtTheDoor: one that was let in by its guards, and is banned and closed before it is
// open, does not come in, and leaves nothing behind.
func TestBanAtTheDoor(t *testing.T) {
	for name, most := range map[string]int{"counted by user": 3, "not counted": 0} {
		s := &Server{Loops: 1, MaxConnsPerUser: most, MaxConnsPerIP: 100}
		var closed atomic.Int64
		s.Route("/{user}", Route{
			Guards: []upgrade.Guard{named, s.NotBanned()},
			Keep: func(r *upgrade.Request) any {
				if r.PathValue("user") == "alice" {
					if err := s.Ban("alice", time.Now().Add(time.Hour)); err != nil {
						t.Error(err)
					}
					n, err := s.CloseUser("alice", 4403, "banned")
					closed.Add(int64(n))
					if err != nil {
						t.Error(err)
					}
				}
				return nil
			},
			Open: func(c Conn) error {
				if c.PathValue("user") == "alice" {
					t.Error("alice is in")
				}
				return nil
			},
		})
		addr := start(t, s)
		status, body := refusalOf(t, addr, "/alice")
		wantBanned(t, name, status, body)
		dial(t, addr, "/bob")
		if n := s.users.len(); closed.Load() != 0 || n != 2 {
			t.Errorf("%s: %d were closed, and %d things are kept of users; want none, and bob with his connection", name, closed.Load(), n)
		}
		if n := s.Stats().Total.Refusals["banned"]; n != 1 {
			t.Errorf("%s: %d refusals are counted, want 1", name, n)
		}
	}
}

// TestBanMeetsNewcomers: however many come at the same time, once a user is banned and closed
// none of its connections is left, and none opens.
func TestBanMeetsNewcomers(t *testing.T) {
	t.Parallel()
	s := &Server{Loops: 2}
	var in atomic.Int64
	s.Route("/{user}", Route{
		Guards: []upgrade.Guard{named, s.NotBanned()},
		Open:   func(Conn) error { in.Add(1); return nil },
		Close:  func(Conn, error) { in.Add(-1) },
	})
	addr := start(t, s)
	for round := range 20 {
		user := fmt.Sprint("user", round)
		stop := make(chan bool)
		var all sync.WaitGroup
		var refused atomic.Int64
		first := make(chan bool, 8)
		for range 8 {
			all.Go(func() {
				for {
					c, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+"/"+user, nil)
					switch {
					case err == nil:
						defer c.Close()
						select {
						case first <- true:
						default:
						}
					case resp == nil:
						t.Error(err)
						return
					default:
						refused.Add(1)
					}
					select {
					case <-stop:
						return
					default:
					}
				}
			})
		}
		<-first
		if err := s.Ban(user, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.CloseUser(user, 4403, "banned"); err != nil {
			t.Fatal(err)
		}
		if all := s.UserConns(user); len(all) > 0 {
			t.Errorf("%d connections are left when it is closed", len(all))
		}
		for refused.Load() == 0 { // until they have noticed
			time.Sleep(time.Millisecond)
		}
		for in.Load() > 0 { // though the clients are still there
			time.Sleep(time.Millisecond)
		}
		close(stop)
		all.Wait()
	}
}

// TestBansAtRandom compares with a map, also while others ask.
func TestBansAtRandom(t *testing.T) {
	const names, most = 50, 40 * (banCost + 8)
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var b bans
		want := map[string]time.Time{}
		now := time.Now()
		stop := make(chan bool)
		var others sync.WaitGroup
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = b.judge(&upgrade.Identity{Subject: "user 7"})
					b.now(time.Now())
				}
			}
		})
		for step := range 2000 {
			user := fmt.Sprint("user ", rng.IntN(names))
			isBanned := now.Before(want[user])
			switch rng.IntN(8) {
			case 0:
				now = now.Add(time.Duration(rng.IntN(20)) * time.Minute)
			case 1:
				b.tidy(now)
			case 2, 3:
				if got := b.end(user, now); got != isBanned {
					t.Fatalf("seed %d, step %d: end of %s: got %v, want %v", seed, step, user, got, isBanned)
				}
				delete(want, user)
			default:
				until := now.Add(time.Duration(rng.IntN(60)-5) * time.Minute)
				maps.DeleteFunc(want, func(_ string, until time.Time) bool { return !now.Before(until) })
				err := b.set(user, until, now, most)
				size := 0
				for other := range want {
					size += len(other) + banCost
				}
				if full := size+len(user)+banCost > most; errors.Is(err, ErrTooManyBans) != (full && !isBanned && now.Before(until)) {
					t.Fatalf("seed %d, step %d: got %v with %d bytes", seed, step, err, size)
				}
				if err == nil {
					want[user] = until
				}
			}
			maps.DeleteFunc(want, func(_ string, until time.Time) bool { return !now.Before(until) })
			got := map[string]time.Time{}
			for _, ban := range b.now(now) {
				got[ban.User] = ban.Until
			}
			if !maps.Equal(got, want) {
				t.Fatalf("seed %d, step %d: got %v, want %v", seed, step, got, want)
			}
			if n := b.size.Load(); n > most || (n == 0) != (len(b.of)+len(b.lifted) == 0) {
				t.Fatalf("seed %d, step %d: %d bytes of %d with %d bans, and %d lifted", seed, step, n, most, len(b.of), len(b.lifted))
			}
		}
		close(stop)
		others.Wait()
		for len(b.of)+len(b.lifted) > 0 {
			b.tidy(now.Add(24 * time.Hour))
		}
		if n := b.size.Load(); n != 0 {
			t.Errorf("seed %d: no bans take %d bytes", seed, n)
		}
	}
}

// TestBansAreBounded: in number and bytes, and they count in Buffered.
func TestBansAreBounded(t *testing.T) {
	s := &Server{Loops: 2, MaxBuffered: 4 << 20}
	s.Route("/", Route{})
	start(t, s)
	until := time.Now().Add(time.Hour)
	before := s.Stats().Buffered
	name := func(k int) string { return fmt.Sprint(strings.Repeat("x", 10<<10), k) }
	n := 0
	for ; s.Ban(name(n), until) == nil; n++ {
	}
	if want := 4 << 20 / banShare / (10<<10 + banCost + 2); n < want-1 || n > want+1 {
		t.Errorf("%d users with long names can be banned, want about %d", n, want)
	}
	if err := s.Ban(name(0), until.Add(time.Hour)); err != nil {
		t.Errorf("a user that is banned, for longer: %v", err)
	}
	if took := s.Stats().Buffered - before; took < n*10<<10 || took > 4<<20/banShare {
		t.Errorf("%d bans count for %d bytes", n, took)
	}
	got := s.Bans()
	if len(got) != n || !slices.IsSortedFunc(got, func(a, b Ban) int { return strings.Compare(a.User, b.User) }) {
		t.Errorf("Bans: got %d, want %d, sorted", len(got), n)
	}
	for _, b := range got {
		s.Unban(b.User)
	}
	for k := range n { // for whom there is room, though something is known of those
		if err := s.Ban(fmt.Sprint("y", name(k)), until); k < n-1 && err != nil {
			t.Fatalf("%d: %v", k, err)
		}
	}
	if took := s.Stats().Buffered - before; took > 4<<20/banShare {
		t.Errorf("%d bans count for %d bytes", n, took)
	}
	unbounded := &Server{MaxBuffered: -1}
	for k := range MaxBans {
		if err := unbounded.Ban(fmt.Sprint(k), until); err != nil {
			t.Fatalf("%d: %v", k, err)
		}
	}
	if err := unbounded.Ban("one more", until); !errors.Is(err, ErrTooManyBans) {
		t.Errorf("got %v, want %v", err, ErrTooManyBans)
	}
}

// A request of somebody who is not banned allocates nothing for that, with bans and without.
func TestBansAllocateNothing(t *testing.T) {
	s := new(Server)
	hook, r := s.NotBanned().OnBeforeUpgrade, &upgrade.Request{Identity: &upgrade.Identity{Subject: "alice"}}
	for range 2 {
		if n := testing.AllocsPerRun(100, func() { _, _ = hook(r) }); n != 0 {
			t.Errorf("%v allocations with %d bans", n, len(s.Bans()))
		}
		if err := s.Ban("bob", time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
}
