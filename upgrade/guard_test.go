package upgrade

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// trace is a guard that notes each call, and fails in the hook called fail.
func trace(log *[]string, name, fail string, err error) Guard {
	note := func(hook, detail string) error {
		*log = append(*log, name+"."+hook+detail)
		if hook == fail {
			return err
		}
		return nil
	}
	return Guard{
		OnRequest:       func(*Request) error { return note("request", "") },
		OnHost:          func(_ *Request, host []byte) error { return note("host", " "+string(host)) },
		OnHeader:        func(_ *Request, k, v []byte) error { return note("header", fmt.Sprintf(" %s=%s", k, v)) },
		OnBeforeUpgrade: func(*Request) (http.Header, error) { return nil, note("before", "") },
	}
}

func guarded(guards ...Guard) *Upgrader {
	return &Upgrader{Guards: guards, Now: func() time.Time { return testNow }}
}

func TestGuardsRunOnce(t *testing.T) {
	t.Parallel()
	var log []string
	u := guarded(trace(&log, "a", "", nil), trace(&log, "b", "", nil))
	answer, _, err := knock(u, up("x-one: 1", "Cookie: c"))
	if err != nil {
		t.Fatalf("%v\n%s", err, answer)
	}
	want := "a.request b.request a.host chat.example b.host chat.example " +
		"a.header X-One=1 b.header X-One=1 a.header Cookie=c b.header Cookie=c a.before b.before"
	if got := strings.Join(log, " "); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

// TestGuardsInOrder: the first guard that failed answers, whichever failed
// first in time.
func TestGuardsInOrder(t *testing.T) {
	t.Parallel()
	hooks := []string{"request", "host", "header", "before"}
	for _, first := range hooks {
		for _, second := range hooks {
			for _, h := range []string{up("X: 1"), head(append([]string{"GET /ws HTTP/1.1", "X: 1"}, strings.Split(strings.TrimSuffix(up(), "\r\n\r\n"), "\r\n")[1:]...)...)} {
				var log []string
				u := guarded(
					trace(&log, "a", "", nil),
					trace(&log, "b", first, Reject(404, "b", "b")),
					trace(&log, "c", second, Reject(403, "c", "c")))
				answer, _, err := knock(u, h)
				var rej *Rejection
				if !errors.As(err, &rej) || rej.Code != "b" || verdict(answer) != "404 b" {
					t.Errorf("b fails in %s, c in %s: %v, %s", first, second, err, verdict(answer))
				}
				if s := strings.Join(log, " "); strings.Contains(s, "c.before") || first != "before" && strings.Contains(s, "b.before") {
					t.Errorf("b fails in %s, c in %s: OnBeforeUpgrade ran too far: %s", first, second, s)
				}
			}
		}
	}
}

func TestGuardsAfterProtocol(t *testing.T) {
	t.Parallel()
	var log []string
	u := guarded(trace(&log, "a", "", nil))
	for _, h := range []string{up("POST /ws HTTP/1.1"), up("-Upgrade"), up("-Sec-WebSocket-Key"), up("Connection: x"), up("Origin: null")} {
		if _, _, err := knock(u, h); err == nil || len(log) > 0 {
			t.Errorf("error %v, guards called: %q, for %q", err, log, h)
		}
	}
}

func TestGuardErrors(t *testing.T) {
	t.Parallel()
	secret := errors.New("dial tcp 10.0.0.7:5432: password of alice is wonderland")
	var none *Rejection
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"plain":          {secret, "500 internal"},
		"gobwas/ws's":    {ws.RejectConnectionError(ws.RejectionStatus(403), ws.RejectionReason("x")), "500 internal"},
		"nil rejection":  {none, "500 internal"},
		"rejection":      {Reject(403, "forbidden", "No."), "403 forbidden"},
		"wrapped":        {fmt.Errorf("%w: %w", Reject(404, "not_found", "No."), secret), "404 not_found"},
		"no such status": {Reject(200, "x", "x"), "500 x"},
	} {
		u := guarded(Guard{OnBeforeUpgrade: func(*Request) (http.Header, error) { return nil, c.err }})
		answer, _, err := knock(u, up())
		if got := verdict(answer); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
		var rej *Rejection
		if !errors.As(err, &rej) {
			t.Errorf("%s: %v is no Rejection", name, err)
		}
		if c.err != error(none) && !errors.Is(err, c.err) {
			t.Errorf("%s: %v does not wrap %v", name, err, c.err)
		}
		if strings.Contains(answer, "10.0.0.7") || strings.Contains(answer, "alice") {
			t.Errorf("%s: the answer leaks:\n%s", name, answer)
		}
	}
}

func TestGuardHeaders(t *testing.T) {
	t.Parallel()
	add := func(h http.Header) Guard {
		return Guard{OnBeforeUpgrade: func(*Request) (http.Header, error) { return h, nil }}
	}
	u := guarded(
		add(http.Header{"Set-Cookie": {"a=b"}, "X-Split": {"a\r\nEvil: yes"}, "Bad Name": {"x"}}),
		add(nil),
		add(http.Header{"Set-Cookie": {"c=d"}, "Sec-Websocket-Accept": {"no"}, "connection": {"close"}, "Sec-Websocket-Protocol": {"no"}}))
	for range 2 { // the guards' headers are not modified
		answer, _, err := knock(u, up())
		want := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" +
			"Set-Cookie: a=b\r\nSet-Cookie: c=d\r\nX-Split: a  Evil: yes\r\n\r\n"
		if err != nil || answer != want {
			t.Errorf("error %v\n got %q\nwant %q", err, answer, want)
		}
	}
}

// TestGuardPanics: a panic leaves nothing behind for the next request.
func TestGuardPanics(t *testing.T) {
	t.Parallel()
	bad := guarded(Guard{OnHost: func(*Request, []byte) error { panic("oops") }})
	func() {
		defer func() { _ = recover() }()
		_, _, _ = knock(bad, up())
	}()
	if answer, _, err := knock(openDoor, up()); err != nil || verdict(answer) != "101" {
		t.Errorf("then %v\n%s", err, answer)
	}
}

func TestProbeRunsGuards(t *testing.T) {
	t.Parallel()
	var probes []bool
	u := guarded(Guard{
		OnHost: func(r *Request, host []byte) error {
			probes = append(probes, r.IsProbe())
			if string(host) != "h" {
				t.Errorf("host %q", host)
			}
			return nil
		},
		OnHeader: func(_ *Request, k, _ []byte) error {
			if string(k) != "Accept" {
				t.Errorf("a probe shows guards %s", k)
			}
			return nil
		},
	})
	_, _, err := knock(u, head("GET / HTTP/1.1", "Accept: application/problem+json", "Host: h"))
	if err != ErrProbe || len(probes) != 1 || !probes[0] {
		t.Errorf("error %v, IsProbe %v", err, probes)
	}
	if _, _, err := knock(u, head("OPTIONS / HTTP/1.1", "Host: h")); err != ErrPreflight {
		t.Errorf("error %v for OPTIONS", err)
	}
}
