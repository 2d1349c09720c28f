package login

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
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
	h, err := ReadHtpasswd(strings.NewReader(htpasswdFile), nil)
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
	checkName := func(name string) error {
		if strings.ContainsAny(name, " S") {
			return errors.New("cannot be a name here")
		}
		return nil
	}
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
		strings.Replace(alice, "alice", "a b", 1):                `line 1: "a b" cannot be a name here`,
		strings.Replace(alice, "alice", "Server", 1):             `line 1: "Server" cannot be a name here`,
		strings.Replace(alice, "alice", "", 1):                   `line 1: "" cannot log in`,
		strings.Replace(alice, "alice", "alice\t", 1):            `line 1: "alice\t" cannot log in`,
		strings.Replace(alice, "alice", "al\x1bice", 1):          `line 1: "al\x1bice" cannot log in`,
		strings.Replace(alice, "alice", "al\xffice", 1):          `line 1: "al\xffice" cannot log in`,
		strings.Replace(alice, "S2", "S=", 1):                    "no bcrypt hash",
		alice + "x":                                              "no bcrypt hash",
		strings.Repeat("x", 1<<17):                               "too long",
	} {
		h, err := ReadHtpasswd(strings.NewReader(file), checkName)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "RJ73Wf") {
			t.Errorf("%.60q: got %v, %v, want %q", file, h, err, says)
		}
	}
}

// TestNamesOfTheirOwn: without a check by the caller, any name that can log in is good.
func TestNamesOfTheirOwn(t *testing.T) {
	for _, name := range []string{"Mary Ann", "Server", "josé@example.com", "علی رضا"} {
		h, err := ReadHtpasswd(strings.NewReader(strings.Replace(htpasswdFile, "alice", name, 1)), nil)
		if err != nil {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		w := ask(newProvider(t, Config{CheckPassword: h.Check}), "POST", "/token", url.Values{"username": {" " + name + "\n"}, "password": {"correct horse"}}.Encode(), formType)
		if w.Code != 200 {
			t.Errorf("%s: got %d %s, want 200", name, w.Code, w.Body)
		}
	}
}

// TestStrangersTakeAsLong: whatever the name, one hash of the same cost is compared.
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

// TestHashesQueue: hashes go one at a time, and addresses take turns. A caller that finds the
// queue full is told when to come back, unless another address has more places in it; a
// caller that hangs up leaves the queue.
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

// waitFor asks again and again until ok says yes.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Hour); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: still not so", what)
		}
	}
}
