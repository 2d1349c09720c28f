//go:build linux

package chat

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/upgrade"
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

// TestStrangersTakeAsLong: the quickest of some answers tells what is done for it.
func TestStrangersTakeAsLong(t *testing.T) {
	h := readHtpasswd(t)
	quickest := func(name string) time.Duration {
		best := time.Hour
		for range 7 {
			begin := time.Now()
			_ = h.Check(t.Context(), name, "wrong")
			best = min(best, time.Since(begin))
		}
		return best
	}
	user, stranger := quickest("alice"), quickest("eve")
	if stranger < user*2/3 || user < stranger*2/3 {
		t.Errorf("a user's wrong password took %v, a stranger's %v", user, stranger)
	}
}

// TestHashesQueue: one at a time, sixteen that wait, and whoever comes then is told
// when to come back; who hangs up leaves the queue.
func TestHashesQueue(t *testing.T) {
	h := readHtpasswd(t)
	hashing <- struct{}{} // somebody else's
	answers := make(chan error, 1+hashQueue)
	gone, leave := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for k := range 1 + hashQueue {
		ctx := t.Context()
		if k == 0 {
			ctx = gone
		}
		wg.Go(func() { answers <- h.Check(ctx, "alice", "correct horse") })
	}
	waitFor(t, "a full queue", func() bool { return hashers.InUse() == 1+hashQueue })
	var e *upgrade.Rejection
	if err := h.Check(t.Context(), "alice", "correct horse"); !errors.As(err, &e) || e.Status != 503 || e.Code != "unavailable" || e.RetryAfter < time.Second {
		t.Errorf("with a full queue: got %v", err)
	}
	leave()
	if err := <-answers; !errors.Is(err, context.Canceled) {
		t.Errorf("who hung up: got %v", err)
	}
	<-hashing
	wg.Wait()
	for range hashQueue {
		if err := <-answers; err != nil {
			t.Errorf("got %v", err)
		}
	}
	if n := hashers.InUse(); n != 0 {
		t.Errorf("%d places are still taken", n)
	}
}

// TestAttempts: ten wrong ones for a user whether there is one or not, thirty failures for an
// address; what succeeds does not count against the address.
func TestAttempts(t *testing.T) {
	c := newChat(t, Config{})
	clock := time.Duration(0)
	c.attempts.now = func() time.Duration { return clock }
	statuses := func(n int, name, password string) (all []int) {
		for range n {
			w := ask(c, "POST", "/token", "username="+name+"&password="+password, formType)
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
	clock += 6 * time.Second // one more for each user, three for the address
	if got, want := statuses(2, "bob", "wrong"), []int{401, 429}; !slices.Equal(got, want) {
		t.Errorf("after 6 s: got %v, want %v", got, want)
	}
}

// waitFor asks again and again until ok says yes.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: still not so", what)
		}
	}
}
