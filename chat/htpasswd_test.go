//go:build linux

package chat

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/crypto/bcrypt"
)

// Made by Apache's htpasswd -nbB -C 6.
const htpasswdFile = `# the staff
alice:$2y$06$RJ73WfkokiGFCSkFiv3.1.uWZyFnravWh.SCunFGLhdOGqwl8DpS2

bob:$2y$06$0Q9gEUhN4fLKEADyyoEQhOSvbHmJf98Rnty3vUmNyPzqZkwMTC4Ey
`

func readHtpasswd(t *testing.T) *Htpasswd {
	t.Helper()
	h, err := ReadHtpasswd(strings.NewReader(htpasswdFile))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHtpasswd(t *testing.T) {
	h := readHtpasswd(t)
	for _, tt := range []struct {
		name, password string
		want           error
	}{
		{"alice", "correct horse", nil},
		{"bob", "battery staple", nil},
		{"bob", "correct horse", ErrPassword},
		{"alice", "", ErrPassword},
		{"alice", strings.Repeat("x", 5000), ErrPassword},
		{"Alice", "correct horse", ErrPassword},
		{"eve", "correct horse", ErrPassword},
		{"", "", ErrPassword},
	} {
		if got := h.Check(t.Context(), tt.name, tt.password); !errors.Is(got, tt.want) {
			t.Errorf("%s, %.20q: got %v, want %v", tt.name, tt.password, got, tt.want)
		}
	}
}

func TestBadHtpasswd(t *testing.T) {
	alice, bob := strings.Split(htpasswdFile, "\n")[1], strings.Split(htpasswdFile, "\n")[3]
	for file, says := range map[string]string{
		"":                   "no user",
		"# nobody\n\n":       "no user",
		alice + "\n" + alice: "line 2: alice is there twice",
		"alice":              "line 1: what follows alice is no bcrypt hash",
		"alice:secret":       "htpasswd -B",
		"dave:$apr1$m3dD3NQr$lv9ktZlnb6oJr6YJuD/tV0":             "no bcrypt hash",
		strings.Replace(alice, "$06$", "$31$", 1):                "a cost of 4 to 15",
		strings.Replace(alice, "$06$", "$03$", 1):                "a cost of 4 to 15",
		alice + "\r\n" + strings.Replace(bob, "$06$", "$07$", 1): "line 2: the hash of bob has cost 7, those before it 6",
		strings.Replace(alice, "alice", "a b", 1):                `"a b" cannot be a name`,
		strings.Replace(alice, "alice", "Server", 1):             "cannot be a name",
		strings.Replace(alice, "S2", "S=", 1):                    "no bcrypt hash",
		alice + "x":                                              "no bcrypt hash",
		strings.Repeat("x", 1<<17):                               "too long",
	} {
		h, err := ReadHtpasswd(strings.NewReader(file))
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "RJ73Wf") {
			t.Errorf("%.60q: got %v, %v, want %q", file, h, err, says)
		}
	}
}

// TestStrangersTakeAsLong: for whoever asks, one hash of the same cost is compared.
func TestStrangersTakeAsLong(t *testing.T) {
	h := readHtpasswd(t)
	want, err := bcrypt.Cost(h.hashes["alice"])
	if err != nil {
		t.Fatal(err)
	}
	var costs []int
	h.compare = func(hash, password []byte) error {
		cost, err := bcrypt.Cost(hash)
		if err != nil {
			t.Error(err)
		}
		costs = append(costs, cost)
		return bcrypt.CompareHashAndPassword(hash, password)
	}
	for _, name := range []string{"alice", "eve", "", "alice\x00", strings.Repeat("a", 1000)} {
		costs = costs[:0]
		if err := h.Check(t.Context(), name, "wrong"); err != ErrPassword {
			t.Errorf("%.20q: got %v", name, err)
		}
		if !slices.Equal(costs, []int{want}) {
			t.Errorf("%.20q: hashes of costs %v were compared, want one of %d", name, costs, want)
		}
	}
}

// TestHashesQueue: one at a time, by turns of the addresses; whoever comes when the queue
// is full is told when to come back, unless others have more of it; who hangs up leaves it.
func TestHashesQueue(t *testing.T) {
	h := readHtpasswd(t)
	h.turns.Waiting = 16
	if err := h.turns.Acquire(t.Context(), netip.Addr{}); err != nil { // somebody else's
		t.Fatal(err)
	}
	from := func(ctx context.Context, addr string) context.Context {
		return context.WithValue(ctx, remoteKey{}, netip.MustParseAddr(addr))
	}
	crowd := make(chan error, 16)
	gone, leave := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for k := range cap(crowd) {
		ctx := t.Context()
		if k == 0 {
			ctx = gone
		}
		wg.Go(func() { crowd <- h.Check(from(ctx, fmt.Sprint("10.0.0.", k%4)), "alice", "wrong") })
	}
	waiting := func(n int) func() bool {
		return func() bool { _, now := h.turns.InUse(); return now == n }
	}
	waitFor(t, "a full queue", waiting(16))
	var e *upgrade.Rejection
	if err := h.Check(from(t.Context(), "10.0.0.1"), "alice", "correct horse"); !errors.As(err, &e) || e.Status != 503 || e.Code != "unavailable" || e.RetryAfter < time.Second {
		t.Errorf("with a full queue: got %v", err)
	}
	alice := make(chan error)
	go func() { alice <- h.Check(from(t.Context(), "2001:db8::1"), "alice", "correct horse") }()
	if err := <-crowd; !errors.As(err, &e) || e.Status != 503 {
		t.Errorf("the last of the longest line: got %v, want 503", err)
	}
	leave()
	if err := <-crowd; !errors.Is(err, context.Canceled) {
		t.Errorf("who hung up: got %v", err)
	}
	h.turns.Release()
	if err := <-alice; err != nil {
		t.Errorf("another address: got %v", err)
	}
	wg.Wait()
	if inside, waiting := h.turns.InUse(); inside != 0 || waiting != 0 {
		t.Errorf("%d places are still taken, %d wait", inside, waiting)
	}
}

// TestAttempts: ten wrong ones for a user from an address, whether there is one or not, thirty
// failures for an address; what succeeds does not count.
func TestAttempts(t *testing.T) {
	c := newChat(t, Config{})
	clock := time.Duration(0)
	c.attempts.now = func() time.Duration { return clock }
	remote := "192.0.2.1:1234"
	statuses := func(n int, name, password string) (all []int) {
		for range n {
			r := httptest.NewRequest("POST", "/token", strings.NewReader("username="+name+"&password="+password))
			r.RemoteAddr = remote
			w := httptest.NewRecorder()
			c.Handler().ServeHTTP(w, r)
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

// TestCrowdOfAddresses: a wrong password now and then, or ten each of forty addresses, lock
// nobody out; what a thousand addresses can try is bounded all the same.
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

// waitFor asks again and again until ok says yes.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Hour); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: still not so", what)
		}
	}
}
