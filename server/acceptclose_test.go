//go:build linux

package server

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/upgrade"
)

// TestAcceptClose: the refused of a route in the accept-close view read a close
// frame, whoever refuses; they never reach Open, count as refused and hold no
// quota. A probe is told in HTTP what the upgrade would be told in a frame.
func TestAcceptClose(t *testing.T) {
	s := &Server{Loops: 2, MaxConnsPerIP: 2, MaxConnsPerUser: 1}
	refuseBy := func(query string) upgrade.Guard {
		return upgrade.Guard{OnBeforeUpgrade: func(r *upgrade.Request) (http.Header, error) {
			r.Identity = &upgrade.Identity{Subject: "alice"}
			if string(r.RawQuery()) == query {
				return nil, upgrade.Reject(401, upgrade.CodeTokenMissing, "No.")
			}
			return nil, nil
		}}
	}
	opened := make(chan struct{}, 10)
	s.Route("/page", Route{
		AcceptClose: true,
		Guards:      []upgrade.Guard{refuseBy("guard")},
		Authorize: func(_ context.Context, r *upgrade.Request) error {
			switch string(r.RawQuery()) {
			case "ask403":
				return upgrade.Reject(403, upgrade.CodeForbidden, "No.")
			case "ask503":
				return upgrade.Reject(503, upgrade.CodeUnavailable, "Later.")
			}
			return nil
		},
		Open:    func(Conn) error { opened <- struct{}{}; return nil },
		Message: echo,
	})
	s.Route("/plain", Route{Message: echo})
	addr := start(t, s)
	refused := int64(0)
	told := func(path string, code int, reason string) {
		t.Helper()
		e := closeOf(t, dial(t, addr, path))
		if e.Code != code || !strings.HasPrefix(e.Text, reason) {
			t.Errorf("%s: got %v, want %d %s", path, e, code, reason)
		}
		refused++
	}
	status := func(path string, want int) {
		t.Helper()
		c, resp, err := websocket.DefaultDialer.Dial("ws://"+addr+path, nil)
		if !errors.Is(err, websocket.ErrBadHandshake) || resp.StatusCode != want {
			t.Fatalf("%s: got %v %v %v, want %d", path, c, resp, err, want)
		}
		refused++
	}
	told("/page?guard", 4401, "token_missing")
	told("/page?ask403", 4403, "forbidden")
	status("/page?ask503", 503)
	if n := s.perIP.Len() + s.users.len(); n != 0 {
		t.Errorf("%d quotas are held after refusals", n)
	}

	alice := dial(t, addr, "/page")
	<-opened
	told("/page", 4429, "too_many_requests; retry-after-ms=") // of the user
	dial(t, addr, "/plain")
	told("/page", 4429, "too_many_requests; retry-after-ms=") // of the address, before the route's door
	status("/plain", 429)
	probe, err := http.NewRequest("GET", "http://"+addr+"/page", nil)
	if err != nil {
		t.Fatal(err)
	}
	probe.Header.Set("Accept", "application/problem+json")
	resp, err := http.DefaultClient.Do(probe)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if refused++; resp.StatusCode != 429 {
		t.Errorf("probe: got %d, want 429", resp.StatusCode)
	}

	say(t, alice, "still here")
	if got := read(t, alice); got != "still here" {
		t.Errorf("got %q", got)
	}
	if got := s.Stats().Refused; got != refused {
		t.Errorf("%d count as refused, want %d", got, refused)
	}
	select {
	case <-opened:
		t.Error("Open was called for one who was refused")
	case <-time.After(10 * time.Millisecond):
	}
}
