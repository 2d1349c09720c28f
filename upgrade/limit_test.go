package upgrade

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/limiter"
)

// TestLimit: two at once and one each ten seconds, for each user and address.
func TestLimit(t *testing.T) {
	t.Parallel()
	rate := limiter.Rate{Limit: limiter.Every(10 * time.Second), Burst: 2}
	byUser := &limiter.Keyed[string]{Rate: rate}
	byAddr := &limiter.Keyed[netip.Addr]{Rate: rate}
	name := Guard{OnBeforeUpgrade: func(r *Request) (http.Header, error) {
		if user := string(r.Header("X-User")); user != "" {
			r.Identity = &Identity{Subject: user}
		}
		return nil, nil
	}}
	now := time.Now()
	clock := func() time.Time { return now }
	users := &Upgrader{Guards: []Guard{name, Limit(byUser, ByUser)}, Now: clock}
	addrs := &Upgrader{Guards: []Guard{Limit(byAddr, ByAddr)}, Now: clock}
	// ask returns "" for the 101, else Retry-After.
	ask := func(u *Upgrader, addr string, edits ...string) string {
		t.Helper()
		var r Request
		if err := u.Parse([]byte(up(edits...)), &r); err != nil {
			t.Fatal(err)
		}
		if addr != "" {
			r.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr(addr), 1)
		}
		answer, err := u.Respond(nil, &r)
		if err == nil {
			return ""
		}
		var e *Rejection
		if !errors.As(err, &e) || e.Status != 429 || e.Code != CodeTooManyRequests {
			t.Fatalf("got %v, want 429", err)
		}
		_, after, _ := strings.Cut(string(answer), "Retry-After: ")
		after, _, _ = strings.Cut(after, "\r\n")
		return after
	}
	for _, c := range []struct {
		who  string
		ask  func() string
		free func() string // somebody else
	}{
		{"user", func() string { return ask(users, "", "X-User: alice") }, func() string { return ask(users, "", "X-User: bob") }},
		{"address", func() string { return ask(addrs, "192.0.2.1") }, func() string { return ask(addrs, "192.0.2.2") }},
		{"/64", func() string { return ask(addrs, "2001:db8::1") }, func() string { return ask(addrs, "2001:db8:0:1::1") }},
	} {
		for n, want := range []string{"", "", "10", "10"} {
			if got := c.ask(); got != want {
				t.Errorf("%s, request %d: got %q, want %q", c.who, n+1, got, want)
			}
		}
		now = now.Add(3500 * time.Millisecond)
		if got := c.ask(); got != "7" {
			t.Errorf("%s after 3.5s: got %q, want 7", c.who, got)
		}
		if got := c.free(); got != "" {
			t.Errorf("%s: another one got %q", c.who, got)
		}
		now = now.Add(6500 * time.Millisecond)
		if got := c.ask() + c.ask(); got != "10" {
			t.Errorf("%s after 10s: got %q, want one more", c.who, got)
		}
	}
	for range 5 {
		if got := ask(users, "") + ask(addrs, ""); got != "" {
			t.Errorf("nobody in particular got %q", got)
		}
	}
}

// A probe is told what an upgrade would be, and takes nothing.
func TestLimitProbe(t *testing.T) {
	t.Parallel()
	k := &limiter.Keyed[netip.Addr]{Rate: limiter.Rate{Limit: limiter.Every(time.Hour), Burst: 1}}
	u := &Upgrader{Guards: []Guard{Limit(k, ByAddr)}}
	probe := head("GET /ws HTTP/1.1", "Host: chat.example", "Accept: application/problem+json")
	for n, c := range []struct {
		head   string
		status string
	}{{probe, "200"}, {probe, "200"}, {up(), "101"}, {probe, "429"}, {up(), "429"}} {
		var r Request
		if err := u.Parse([]byte(c.head), &r); err != nil {
			t.Fatal(err)
		}
		r.RemoteAddr = netip.MustParseAddrPort("192.0.2.1:1")
		if answer, _ := u.Respond(nil, &r); string(answer[9:12]) != c.status {
			t.Errorf("request %d: got %q, want %s", n+1, answer, c.status)
		}
	}
}
