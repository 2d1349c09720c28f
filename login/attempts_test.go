package login

import (
	"errors"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

// TestAttempts: a user from one address has ten wrong passwords, whether there is such a user
// or not, and an address has thirty; a right password does not count.
func TestAttempts(t *testing.T) {
	p := newProvider(t, Config{})
	clock := time.Duration(0)
	p.attempts.now = func() time.Duration { return clock }
	remote := "192.0.2.1:1234"
	statuses := func(n int, name, password string) (all []int) {
		for range n {
			r := httptest.NewRequest("POST", "/token", strings.NewReader("username="+name+"&password="+password))
			r.RemoteAddr = remote
			w := httptest.NewRecorder()
			p.Handler(nil).ServeHTTP(w, r)
			all = append(all, w.Code)
			if w.Code == 429 && (w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), "too_many_requests")) {
				t.Errorf("got %v %s", w.Header(), w.Body)
			}
		}
		return all
	}
	times := func(n, status int) []int { return slices.Repeat([]int{status}, n) }
	for _, tt := range []struct {
		name, password string
		want           []int
	}{
		{"alice", "wonderland", times(12, 200)},
		{"bob", "wrong", append(times(10, 401), 429, 429)},
		{"eve", "wrong", append(times(10, 401), 429, 429)},
		{strings.Repeat("x", 4000), "wrong", append(times(10, 401), 429)},
		{"mallory", "wrong", times(3, 429)}, // the address has had its thirty
	} {
		if got := statuses(len(tt.want), tt.name, tt.password); !slices.Equal(got, tt.want) {
			t.Errorf("%.10s: got %v, want %v", tt.name, got, tt.want)
		}
	}
	for _, addr := range []string{"192.0.2.2:1", "[2001:db8::1]:1"} {
		remote = addr
		if got := statuses(1, "bob", "builder"); got[0] != 200 {
			t.Errorf("bob from %s, whom others try to be: got %d", addr, got[0])
		}
	}
	remote = "192.0.2.1:4321"
	clock += 6 * time.Second // one more for each user, three for the address
	if got, want := statuses(2, "bob+", "wrong"), []int{401, 429}; !slices.Equal(got, want) {
		t.Errorf("after 6 s: got %v, want %v", got, want)
	}
	remote = "[2001:db8::1]:1"
	if got := statuses(10, "carol", "wrong"); !slices.Equal(got, times(10, 401)) {
		t.Errorf("got %v", got)
	}
	remote = "[2001:db8::ffff]:1" // of one network
	if got := statuses(1, "carol", "wrong"); got[0] != 429 {
		t.Errorf("an eleventh from a /64: got %d", got[0])
	}
}

// TestCrowdOfAddresses: a wrong password now and then, or ten from each of forty addresses,
// lock nobody out. What a thousand addresses can try is bounded all the same.
func TestCrowdOfAddresses(t *testing.T) {
	a := newAttempts()
	clock := time.Duration(0)
	a.now = func() time.Duration { return clock }
	wrong := func() error { return ErrPassword }
	right := func() error { return nil }
	home, office := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	for range 24 * 3600 / 5 { // a day
		clock += 5 * time.Second
		_ = a.try(netip.MustParseAddr("203.0.113.9"), "alice", wrong)
	}
	address := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}) }
	for n := range 40 {
		for range 12 {
			_ = a.try(address(n), "alice", wrong)
		}
	}
	for _, addr := range []netip.Addr{home, office} {
		if err := a.try(addr, "alice", right); err != nil {
			t.Errorf("alice from %v: got %v", addr, err)
		}
	}
	tried := 0
	for n := range 1000 {
		for range 10 {
			if a.try(address(n), "bob", wrong) == ErrPassword {
				tried++
			}
		}
	}
	if tried != userFailures.Burst {
		t.Errorf("%d passwords of bob's were tried at once, want %d", tried, userFailures.Burst)
	}
	var e *upgrade.Rejection
	if err := a.try(home, "bob", right); !errors.As(err, &e) || e.Status != 429 || e.RetryAfter <= 0 {
		t.Errorf("after that: got %v, want 429", err)
	}
	if err := a.try(home, "alice", right); err != nil {
		t.Errorf("somebody else: got %v", err)
	}
}
