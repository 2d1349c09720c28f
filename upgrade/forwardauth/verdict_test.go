package forwardauth

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

// ask asks s about a request as who, from an address.
func ask(t *testing.T, s *Service, who *upgrade.Identity, from, head string) (*upgrade.Request, error) {
	t.Helper()
	r := new(upgrade.Request)
	if err := new(upgrade.Upgrader).Parse([]byte(head), r); err != nil {
		t.Fatal(err)
	}
	r.RemoteAddr, r.Identity = netip.AddrPortFrom(netip.MustParseAddr(from), 4711), who
	return r, s.Authorize(context.Background(), r)
}

// TestUser: as whom the service lets in. What can be read in two ways is no answer.
func TestUser(t *testing.T) {
	t.Parallel()
	in := func(d time.Duration) string { return strconv.FormatInt(time.Now().Add(d).Unix(), 10) }
	hour := in(time.Hour)
	token := &upgrade.Identity{Subject: "alice", ExpiresAt: time.Now().Add(time.Minute), Claims: map[string]any{"rooms": []any{"lobby"}}}
	for name, c := range map[string]struct {
		answer  string // header lines
		who     *upgrade.Identity
		subject string // "" for nobody
		code    string // of the refusal
		exp     string
	}{
		"nobody":               {},
		"a name":               {answer: "X-Usher-Sub: bob", subject: "bob"},
		"a name in UTF-8":      {answer: "X-Usher-Sub: \xc3\xa9ve ", subject: "éve"},
		"a name in Latin 1":    {answer: "X-Usher-Sub: \xe9ve", code: "unavailable"},
		"two names":            {answer: "X-Usher-Sub: bob\r\nX-Usher-Sub: carol", code: "unavailable"},
		"an empty name":        {answer: "X-Usher-Sub: "},
		"Authelia's":           {answer: "Remote-User: bob\r\nRemote-Groups: x", subject: "bob"},
		"oauth2-proxy's":       {answer: "X-Auth-Request-User: bob\r\nX-Auth-Request-Email: b@x", subject: "bob"},
		"traefik's":            {answer: "X-Forwarded-User: bob", subject: "bob"},
		"ours before others":   {answer: "Remote-User: carol\r\nX-Usher-Sub: bob", subject: "bob"},
		"until then":           {answer: "X-Usher-Sub: bob\r\nX-Usher-Exp: " + hour, subject: "bob", exp: hour},
		"until then, twice":    {answer: "X-Usher-Sub: bob\r\nX-Usher-Exp: " + hour + "\r\nX-Usher-Exp: 1", code: "unavailable"},
		"until when?":          {answer: "X-Usher-Sub: bob\r\nX-Usher-Exp: tomorrow", code: "unavailable"},
		"until long ago":       {answer: "X-Usher-Sub: bob\r\nX-Usher-Exp: 1", code: "token_expired"},
		"until negative":       {answer: "X-Usher-Sub: bob\r\nX-Usher-Exp: -1", code: "unavailable"},
		"an end of nobody":     {answer: "X-Usher-Exp: " + hour, code: "unavailable"},
		"a token's":            {who: token, subject: "alice", exp: fmt.Sprint(token.ExpiresAt.Unix())},
		"a token's, another":   {who: token, answer: "X-Usher-Sub: Alice A.", subject: "Alice A.", exp: fmt.Sprint(token.ExpiresAt.Unix())},
		"a token's, later":     {who: token, answer: "X-Usher-Exp: " + hour, subject: "alice", exp: fmt.Sprint(token.ExpiresAt.Unix())},
		"a token's, earlier":   {who: token, answer: "X-Usher-Exp: " + in(9*time.Second), subject: "alice", exp: in(9 * time.Second)},
		"a body of a megabyte": {answer: "X-Usher-Sub: bob\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 1000000), subject: "bob"},
	} {
		s := raw(t, func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 4096))
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\n%s\r\nConnection: close\r\n\r\n", strings.TrimSuffix(c.answer, "\r\n"))
		})
		r, err := ask(t, s, c.who, "192.0.2.1", "GET /ws HTTP/1.1\r\nHost: h\r\n\r\n")
		if c.code != "" {
			if e := rejection(t, err); e.Code != c.code {
				t.Errorf("%s: got %v, want %s", name, err, c.code)
			}
			continue
		}
		if err != nil || (r.Identity != nil) != (c.subject != "") {
			t.Errorf("%s: %v, %+v", name, err, r.Identity)
			continue
		}
		if id := r.Identity; id != nil {
			exp := ""
			if !id.ExpiresAt.IsZero() {
				exp = fmt.Sprint(id.ExpiresAt.Unix())
			}
			if id.Subject != c.subject || exp != c.exp || c.who != nil && id.Claims["rooms"] == nil {
				t.Errorf("%s: got %+v, want %q until %s", name, id, c.subject, c.exp)
			}
		}
	}
	if token.Subject != "alice" {
		t.Error("the token's Identity, which others have, was changed")
	}
}

// TestKept: a verdict counts for as long as the answer says, and no longer.
func TestKept(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status  int
		control []string
		age     string
		want    time.Duration
	}{
		{200, nil, "", 0},
		{200, []string{"max-age=60"}, "", time.Minute},
		{200, []string{"public, max-age=60"}, "", time.Minute},
		{200, []string{"Max-Age = 60 "}, "", time.Minute},
		{200, []string{`max-age="60"`}, "", time.Minute},
		{200, []string{"max-age=60"}, "45", 15 * time.Second},
		{200, []string{"max-age=60"}, "61", 0},
		{200, []string{"max-age=0"}, "", 0},
		{200, []string{"max-age=-1"}, "", 0},
		{200, []string{"max-age=soon"}, "", 0},
		{200, []string{"max-age"}, "", 0},
		{200, []string{"max-age=60, max-age=61"}, "", 0},
		{200, []string{"max-age=60", "max-age=61"}, "", 0},
		{200, []string{"max-age=99999999999999999999999"}, "", maxFresh},
		{200, []string{"no-store"}, "", 0},
		{200, []string{"max-age=60, no-store"}, "", 0},
		{200, []string{"max-age=60", "no-cache"}, "", 0},
		{200, []string{`max-age=60, private="x"`}, "", 0},
		{200, []string{"private, max-age=60"}, "", 0},
		{200, []string{"s-maxage=10, max-age=60"}, "", 10 * time.Second},
		{200, []string{"s-maxage=0, max-age=60"}, "", 0},
		{200, []string{"must-revalidate, max-age=60"}, "", time.Minute},
		{401, []string{"max-age=60"}, "", time.Minute},
		{403, []string{"no-store"}, "", 0},
		{404, []string{"max-age=60"}, "", time.Minute},
		{429, []string{"max-age=60"}, "", 0},
	} {
		answer := &http.Response{StatusCode: c.status, Header: http.Header{"Cache-Control": c.control}, Body: http.NoBody}
		if c.age != "" {
			answer.Header.Set("Age", c.age)
		}
		before := time.Now()
		v, err := read(answer, new(upgrade.Request))
		if err != nil {
			t.Fatal(err)
		}
		if least, most := before.Add(c.want), time.Now().Add(c.want); v.until.Before(least) || v.until.After(most) {
			t.Errorf("%d %q, Age %q: for %v, want %v", c.status, c.control, c.age, v.until.Sub(before), c.want)
		}
	}
	answer := &http.Response{StatusCode: 200, Header: http.Header{"Cache-Control": {"max-age=3600"}, "X-Usher-Sub": {"bob"},
		"X-Usher-Exp": {fmt.Sprint(time.Now().Unix() + 10)}}, Body: http.NoBody}
	if v, err := read(answer, new(upgrade.Request)); err != nil || !v.until.Equal(v.expires) {
		t.Errorf("a verdict outlives the user: %v, %+v", err, v)
	}
	answer.Header.Set("Vary", "*")
	if v, err := read(answer, new(upgrade.Request)); err != nil || v.until.After(time.Now()) {
		t.Errorf("Vary: *: %v, %+v", err, v)
	}
}

// TestOwnVerdict: a verdict is for the question that it answers. Whatever else of the
// request the service can see makes another question.
func TestOwnVerdict(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	s := service(t, func(w http.ResponseWriter, req *http.Request) {
		n := asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=3600")
		w.Header().Set("X-Usher-Sub", fmt.Sprint("user-", n))
		if req.Header.Get("Cookie") == "bad=1" {
			w.WriteHeader(403)
		}
	})
	alice := &upgrade.Identity{Subject: "alice"}
	type request struct {
		who        *upgrade.Identity
		from, head string
	}
	for _, q := range []request{
		{nil, "192.0.2.1", "GET /ws/a HTTP/1.1\r\nHost: h\r\n\r\n"},
		{nil, "192.0.2.2", "GET /ws/a HTTP/1.1\r\nHost: h\r\n\r\n"},
		{alice, "192.0.2.1", "GET /ws/a HTTP/1.1\r\nHost: h\r\n\r\n"},
		{nil, "192.0.2.1", "GET /ws/b HTTP/1.1\r\nHost: h\r\n\r\n"},
		{nil, "192.0.2.1", "GET /ws/a?token=1 HTTP/1.1\r\nHost: h\r\n\r\n"},
		{nil, "192.0.2.1", "GET /ws/a?token=2 HTTP/1.1\r\nHost: h\r\n\r\n"},
		{nil, "192.0.2.1", "GET /ws/a HTTP/1.1\r\nHost: g\r\n\r\n"},
		{nil, "192.0.2.1", "GET /ws/a HTTP/1.1\r\nHost: h\r\nAccept: application/problem+json\r\n\r\n"},
		{nil, "192.0.2.1", "GET /ws/a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer x\r\n\r\n"},
		{nil, "192.0.2.1", "GET /ws/a HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer y\r\n\r\n"},
		{nil, "192.0.2.1", "GET /ws/a HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Protocol: bearer, z\r\n\r\n"},
		{nil, "192.0.2.1", "GET /ws/a HTTP/1.1\r\nHost: h\r\nOrigin: http://h\r\n\r\n"},
		{nil, "192.0.2.1", "GET /ws/a HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\n\r\n"},
		{nil, "192.0.2.1", "GET /ws/a HTTP/1.1\r\nHost: h\r\nCookie: a=b; c=d\r\n\r\n"},
		{nil, "192.0.2.1", "GET /ws/a HTTP/1.1\r\nHost: h\r\nCookie: a=b\r\nCookie: c=d\r\n\r\n"},
		{nil, "192.0.2.1", "GET /ws/a HTTP/1.1\r\nHost: h\r\nCookie: bad=1\r\n\r\n"},
	} {
		before := asked.Load()
		first, err := ask(t, s, q.who, q.from, q.head)
		if asked.Load() != before+1 {
			t.Errorf("%q: another's verdict", q.head)
		}
		second, again := ask(t, s, q.who, q.from, q.head)
		if asked.Load() != before+1 {
			t.Errorf("%q: was not remembered", q.head)
		}
		if err != nil {
			if rejection(t, err) != rejection(t, again) {
				t.Errorf("%q: %v and %v", q.head, err, again)
			}
			continue
		}
		if again != nil || first.Identity.Subject != second.Identity.Subject {
			t.Errorf("%q: %+v and %v, %+v", q.head, first.Identity, again, second.Identity)
		}
	}
	if st := s.Stats(); st.Admitted != 15 || st.Refused != 1 || st.Remembered != 16 || st.Verdicts != 16 || st.Failed != 0 || st.Asking <= 0 {
		t.Errorf("%+v", st)
	}
}
