package upgrade

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"
)

// patient is a SlowVerifier: every token is alice's, and only Wait can say so.
type patient struct{}

func (patient) Verify([]byte, time.Time) (*Identity, error) { return nil, ErrSlow }
func (patient) Begin([]byte, time.Time) Verification        { return patience{} }
func (patience) IsSlow() bool                               { return true }
func (patience) Verify(time.Time) (*Identity, error)        { return nil, ErrSlow }
func (patience) Wait(ctx context.Context, _ time.Time) (*Identity, error) {
	return &Identity{Subject: "alice"}, ctx.Err()
}

type patience struct{}

// hasty says that none of its tokens is slow.
type hasty struct{ patient }

func (hasty) NeverSlow() bool { return true }

// TestNeverSlow: a Verifier that says so is not asked to Begin.
func TestNeverSlow(t *testing.T) {
	t.Parallel()
	r := new(Request)
	if err := openDoor.Parse([]byte(up("Authorization: Bearer x")), r); err != nil {
		t.Fatal(err)
	}
	for v, want := range map[Verifier]bool{patient{}: true, hasty{}: false, fixed{}: false} {
		if got := guarded(Bearer(v)).IsSlow(r); got != want {
			t.Errorf("%T: slow: got %t, want %t", v, got, want)
		}
	}
}

// TestUnprepared: Respond does not wait if Prepare was not called; Upgrade calls it.
func TestUnprepared(t *testing.T) {
	t.Parallel()
	u := &Upgrader{Guards: []Guard{Bearer(patient{})}, Now: func() time.Time { return testNow }}
	head := up("Authorization: Bearer x")
	r := new(Request)
	if err := u.Parse([]byte(head), r); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Respond(nil, r); !errors.Is(err, ErrSlow) || asRejection(err).Status != 500 {
		t.Errorf("got %v, want a 500 that says why", err)
	}
	ours, theirs := net.Pipe()
	go func() { _, _ = io.WriteString(theirs, head) }()
	judged := make(chan error)
	go func() { _, _, err := u.Upgrade(ours); judged <- err }()
	if answer, err := http.ReadResponse(bufio.NewReader(theirs), nil); err != nil || answer.StatusCode != 101 {
		t.Errorf("over a connection: got %v, %v", answer, err)
	}
	if err := <-judged; err != nil {
		t.Errorf("over a connection: got %v", err)
	}
	ours.Close()
	if err := u.Parse([]byte(head), r); err != nil {
		t.Fatal(err)
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	forged := new(Request)
	if err := u.Parse([]byte(head), forged); err != nil || !u.IsSlow(forged) {
		t.Fatal(err)
	}
	u.Prepare(gone, forged)
	if _, err := u.Respond(nil, forged); asRejection(err) == nil || asRejection(err).Status != 503 {
		t.Errorf("given up: got %v, want 503", err)
	}
}

// steps is a SlowVerifier each of whose tokens waits for a step of the test.
type steps struct {
	begun chan string
	step  chan struct{}
}

func (s *steps) Verify([]byte, time.Time) (*Identity, error) { return nil, ErrSlow }

func (s *steps) Begin(token []byte, _ time.Time) Verification { return &stepped{s, string(token)} }

type stepped struct {
	*steps
	token string
}

func (s *stepped) IsSlow() bool { return true }

func (s *stepped) Verify(time.Time) (*Identity, error) { return nil, ErrSlow }

func (s *stepped) Wait(ctx context.Context, _ time.Time) (*Identity, error) {
	select {
	case s.begun <- s.token:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case <-s.step:
		return nil, errors.New("forged")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// TestForgedTickets: a flood of tokens for Authenticate, which POST /ticket calls, does not
// get an upgrade refused, from the same address or another, nor does an upgrade wait for
// the whole flood; and when the clients have gone, nothing is left of it.
func TestForgedTickets(t *testing.T) { // not parallel: the process has one set of places
	s := &steps{begun: make(chan string), step: make(chan struct{})}
	ctx, leave := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	codes := make(chan int, 5000)
	flood := func(n int, from func(k int) string) {
		for k := range n {
			wg.Go(func() {
				req := httptest.NewRequestWithContext(ctx, "POST", "/ticket", nil)
				req.RemoteAddr = from(k)
				req.Header.Set("Authorization", "Bearer forged")
				_, err := Authenticate(s, req, testNow)
				codes <- asRejection(err).Status
			})
		}
	}
	const attacker = "192.0.2.1:1"
	flood(elsewhere.Places+elsewhere.Waiting+500, func(int) string { return attacker })
	for range elsewhere.Places {
		<-s.begun
	}
	for range 500 {
		if code := <-codes; code != http.StatusServiceUnavailable {
			t.Fatalf("one too many: got %d, want 503", code)
		}
	}
	u := &Upgrader{Guards: []Guard{Bearer(s)}}
	upgrade := func(from string) {
		t.Helper()
		r := new(Request)
		if err := u.Parse([]byte(up("Authorization: Bearer upgrade")), r); err != nil || !u.IsSlow(r) {
			t.Fatal(err)
		}
		r.RemoteAddr = netip.MustParseAddrPort(from)
		done := make(chan error)
		_, before := elsewhere.InUse()
		go func() {
			u.Prepare(t.Context(), r)
			_, err := u.Respond(nil, r)
			done <- err
		}()
		for now := before; now == before; _, now = elsewhere.InUse() {
			runtime.Gosched()
		}
		turns := 0
		for token := ""; token != "upgrade"; turns++ {
			s.step <- struct{}{} // one of those inside
			token = <-s.begun
		}
		if turns > 4 {
			t.Errorf("an upgrade from %s waited for %d others", from, turns)
		}
		for verdict := error(nil); verdict == nil; {
			select {
			case verdict = <-done:
			case s.step <- struct{}{}:
				<-s.begun
			}
			if verdict != nil && asRejection(verdict).Status != 401 {
				t.Errorf("an upgrade from %s: got %v", from, verdict)
			}
		}
	}
	s.step <- struct{}{}
	if code := <-codes; code != http.StatusUnauthorized {
		t.Errorf("a forged token: got %d, want 401", code)
	}
	<-s.begun
	upgrade(attacker)
	upgrade("198.51.100.1:1")
	upgrade("[2001:db8::1]:1")
	leave()
	wg.Wait()
	if inside, waiting := elsewhere.InUse(); inside != 0 || waiting != 0 {
		t.Errorf("%d are inside and %d wait, though all have gone", inside, waiting)
	}
}
