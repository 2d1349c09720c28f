package upgrade

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/logtext"
)

// record is a log that any goroutine may write to.
type record = logtext.Text

// everyWay knocks with h at u by Upgrade, by UpgradeHTTP and by Handler, and returns
// the verdicts. The log and Refused have been told by then.
func everyWay(t *testing.T, u *Upgrader, h string) map[string]string {
	t.Helper()
	over := serve(t, u, func(conn net.Conn, o outcome) {
		if o.err == nil {
			conn.Close()
		}
	})
	got := make(map[string]string)
	for name, addr := range map[string]string{
		"Upgrade":     over,
		"UpgradeHTTP": strings.TrimPrefix(start(t, mux(u, func(outcome) {})), "http://"),
		"Handler":     strings.TrimPrefix(start(t, u.Handler(http.HandlerFunc(hijackHello))), "http://"),
	} {
		c := dial(t, addr)
		fmt.Fprint(c, h)
		answer, err := io.ReadAll(c)
		c.Close()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		got[name] = verdict(string(answer))
	}
	return got
}

var (
	errDatabase = errors.New("dial tcp: no database at postgres://u:s3cret@db")
	failing     = map[string]*Upgrader{
		"OnRequest":       guarded(Guard{OnRequest: func(*Request) error { return errDatabase }}),
		"OnHeader":        guarded(Guard{OnHeader: func(*Request, []byte, []byte) error { return errDatabase }}),
		"OnBeforeUpgrade": guarded(Guard{OnBeforeUpgrade: func(*Request) (http.Header, error) { return nil, errDatabase }}),
		"Authorize":       {Authorize: func(context.Context, *Request) error { return errDatabase }},
		"a bad status":    guarded(Guard{OnRequest: func(*Request) error { return &Rejection{Status: 200, Detail: "no database"} }}),
	}
)

// TestFailuresAreLogged: where the client sees a bare 500, the log, or the standard one if
// there is no other, and Refused are told of the error, whichever way the door is used.
func TestFailuresAreLogged(t *testing.T) {
	standard := slog.Default()
	defer slog.SetDefault(standard)
	for name, made := range failing {
		for _, own := range []bool{true, false} {
			var said record
			log := slog.New(slog.NewTextHandler(&said, nil))
			var mu sync.Mutex
			refused := 0
			u := *made
			u.Refused = func(r *Request, e *Rejection, err error) {
				mu.Lock()
				defer mu.Unlock()
				if refused++; e.StatusCode() != 500 || r.Path() != "/ws/x" || err == nil {
					t.Errorf("%s: told of %v, %q, %v", name, e, r.Path(), err)
				}
			}
			if own {
				u.Logger = log
			} else {
				slog.SetDefault(log)
			}
			for way, got := range everyWay(t, &u, up("GET /ws/x?token=s3cret HTTP/1.1", "X-A: b")) {
				if !strings.HasPrefix(got, "500") {
					t.Errorf("%s: %s: got %s, want 500", name, way, got)
				}
			}
			lines := said.String()
			if n := strings.Count(lines, "level=ERROR"); n != 3 || strings.Count(lines, "no database") != 3 || refused != 3 {
				t.Errorf("%s: %d errors in the log and %d in the hook, want 3 and 3\n%s", name, n, refused, lines)
			}
			if strings.Contains(lines, "s3cret") {
				t.Errorf("%s: the log tells a secret:\n%s", name, lines)
			}
		}
	}
}

// TestRefusalsAreCounted: Refused is told of every refusal with its code, and of nothing
// else; the log tells of all of them at level debug only.
func TestRefusalsAreCounted(t *testing.T) {
	t.Parallel()
	for h, want := range map[string]string{
		up("GET /ws/x HTTP/1.1"): "token_missing", up("GET /ws/x HTTP/1.1", "Authorization: Bearer x"): "token_invalid",
		up("GET /ws/x HTTP/1.1", "-Upgrade"): "upgrade_required", up("GET /ws/x HTTP/1.1", "Sec-WebSocket-Key: x"): "bad_key",
		head("GET /ws/x HTTP/1.1", "Host: h", "Accept: "+problemJSON): "token_missing",
		head("OPTIONS /ws/x HTTP/1.1", "Host: h"):                     "",
	} {
		var said record
		var mu sync.Mutex
		codes := make(map[string]int)
		u := &Upgrader{Guards: authDoor.Guards, Now: openDoor.Now, Logger: slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelDebug}))}
		u.Refused = func(_ *Request, e *Rejection, _ error) {
			mu.Lock()
			defer mu.Unlock()
			codes[e.Code]++
		}
		everyWay(t, u, h)
		if want == "" && (len(codes) > 0 || said.String() != "") || want != "" && (codes[want] != 3 || strings.Count(said.String(), "level=DEBUG") != 3) {
			t.Errorf("%q: got %v, want 3 of %q\n%s", h, codes, want, said.String())
		}
	}
}

// TestOriginsAreLogged: the log is told once of an origin that is refused, with the flag
// that would let it in, whichever way the door is used.
func TestOriginsAreLogged(t *testing.T) {
	t.Parallel()
	var said record
	u := &Upgrader{Logger: slog.New(slog.NewTextHandler(&said, nil))}
	for origin, want := range map[string]string{
		"https://a.evil.example":       `origin=https://a.evil.example flag="--origin https://a.evil.example"`,
		"https://a.evil.example:8443":  `flag="--origin https://a.evil.example:8443"`,
		"http://[::1]:3000":            `flag="--origin 'http://[::1]:3000'"`,
		"null":                         `origin=null flag="--origin null"`,
		"file://":                      `flag="--origin file://"`,
		"chrome-extension://abc":       `flag="--origin chrome-extension://abc"`,
		"https://a.evil.example/":      `origin=https://a.evil.example/ remote=`,
		"https://a..evil.example":      `origin=https://a..evil.example remote=`,
		"https://*.evil.example":       `origin=https://*.evil.example remote=`,
		"*":                            `origin=* remote=`,
		`x" --origin * level=ERROR`:    `origin="x\" --origin * level=ERROR" remote=`,
		"https://u:s3cret@e.example":   `origin=https://REDACTED@e.example remote=`,
		"x" + strings.Repeat("y", 900): "y…",
	} {
		for range 2 {
			for way, got := range everyWay(t, u, up("GET /ws/x HTTP/1.1", "Origin: "+origin)) {
				if got != "403 origin_not_allowed" {
					t.Errorf("%s: %s: got %s", origin, way, got)
				}
			}
		}
		if n := strings.Count(said.String(), want); n != 1 {
			t.Errorf("%q: %d lines with %s, want 1", origin, n, want)
		}
	}
	if lines := said.String(); strings.Contains(lines, "s3cret") || strings.Count(lines, "\n") != strings.Count(lines, "level=INFO msg=") {
		t.Errorf("got %s", lines)
	}
	// A cookie that does not count: the flag is one that would make it count.
	u = &Upgrader{Guards: authDoor.Guards, Origins: []string{"*", "null", "file://", "bare.example"}, Now: authDoor.Now}
	for origin, want := range map[string]string{
		"null":                   `origin=null remote=`,
		"file://":                `origin=file:// remote=`,
		"https://mine.example":   `flag="--origin https://mine.example"`,
		"http://bare.example":    `flag="--origin http://bare.example"`,
		"https://slash.example/": `origin=https://slash.example/ remote=`,
	} {
		var said record
		u.Logger = slog.New(slog.NewTextHandler(&said, nil))
		for way, got := range everyWay(t, u, up("GET /ws/x HTTP/1.1", "Origin: "+origin, "Cookie: token="+goodToken("alice"), "X-Forwarded-Proto: https")) {
			if got != "403 origin_not_allowed" {
				t.Errorf("%s with a cookie: %s: got %s", origin, way, got)
			}
		}
		if !strings.Contains(said.String(), want) {
			t.Errorf("%s with a cookie: got %s, want %s", origin, said.String(), want)
		}
	}
	u = &Upgrader{Logger: slog.New(slog.NewTextHandler(&said, nil))}
	if err := u.JudgePage(request(t, "POST", "/token", "Origin: https://form.evil.example")); rejected(err) != "403 origin_not_allowed" {
		t.Errorf("a form: %v", err)
	}
	if !strings.Contains(said.String(), "form.evil.example") {
		t.Error("of a form nothing is said")
	}
}

// TestNotes: each origin once a minute, and no more origins than there is room for.
func TestNotes(t *testing.T) {
	t.Parallel()
	n := notes{seen: make(map[noteKey]bool)}
	key := func(i int) noteKey { return noteKey{origin: uint64(i)} }
	now, told := time.Now(), 0
	for i := range 100 * maxNotes {
		if n.note(key(i), now) {
			told++
		}
		if n.note(key(i), now) {
			t.Fatal("told twice")
		}
	}
	if told != maxNotes || len(n.seen) != maxNotes || len(n.queue) != maxNotes {
		t.Errorf("told %d, keeps %d and %d, want %d", told, len(n.seen), len(n.queue), maxNotes)
	}
	if n.note(key(0), now.Add(noteEvery-1)) || !n.note(key(0), now.Add(noteEvery)) || len(n.seen) != 1 {
		t.Errorf("a minute later: %d are kept, want 1", len(n.seen))
	}
}
