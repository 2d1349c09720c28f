package upgrade

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func rejected(err error) string {
	if rej := asRejection(err); rej != nil {
		return fmt.Sprint(rej.Status, " ", rej.Code)
	}
	return fmt.Sprint(err)
}

func TestTickets(t *testing.T) {
	t.Parallel()
	var all Tickets
	alice := &Identity{Subject: "alice", ExpiresAt: testNow.Add(time.Hour)}
	issue := func(now time.Time) []byte {
		t.Helper()
		ticket, ttl, err := all.Issue(alice, now)
		if err != nil || ttl != 30*time.Second || len(ticket) != 22 {
			t.Fatalf("got %q, %v, %v, want 128 bits for 30 s", ticket, ttl, err)
		}
		return []byte(ticket)
	}
	ticket := issue(testNow)
	for range 3 {
		if id, err := all.Peek(ticket, testNow); id != alice || err != nil {
			t.Fatalf("peek: got %v, %v", id, err)
		}
	}
	if id, err := all.Spend(ticket, testNow.Add(29*time.Second)); id != alice || err != nil {
		t.Fatalf("spend: got %v, %v", id, err)
	}
	old := issue(testNow)
	for name, c := range map[string]struct {
		ticket []byte
		at     time.Duration
	}{
		"again":          {ticket, 0},
		"too late":       {old, 30 * time.Second},
		"never issued":   {[]byte(strings.Repeat("A", 22)), 0},
		"too short":      {ticket[:21], 0},
		"too long":       {append(ticket[:22:22], 'A'), 0},
		"no base64":      {[]byte(strings.Repeat("!", 22)), 0},
		"nothing":        {nil, 0},
		"another ending": {append(issue(testNow)[:21:21], '~'), 0},
	} {
		if id, err := all.Spend(c.ticket, testNow.Add(c.at)); id != nil || rejected(err) != "401 ticket_invalid" {
			t.Errorf("%s: got %v, %v, want 401 ticket_invalid", name, id, err)
		}
	}
	short := &Identity{Subject: "bob", ExpiresAt: testNow.Add(10 * time.Second)}
	last, ttl, err := all.Issue(short, testNow)
	if err != nil || ttl != 10*time.Second {
		t.Errorf("for a token with 10 s to go: %v, %v", ttl, err)
	}
	if _, err := all.Spend([]byte(last), testNow.Add(10*time.Second)); rejected(err) != "401 token_expired" {
		t.Errorf("after its token's exp: %v", err)
	}
	if _, _, err := all.Issue(short, testNow.Add(10*time.Second)); rejected(err) != "401 token_expired" {
		t.Errorf("for an expired token: %v", err)
	}
}

func TestTicketsAreBounded(t *testing.T) {
	t.Parallel()
	all := Tickets{Max: 100, PerUser: 10}
	user := func(n int) *Identity { return &Identity{Subject: fmt.Sprint("user ", n)} }
	for n := range 10 {
		for range 10 {
			if _, _, err := all.Issue(user(n), testNow); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := all.Issue(user(n), testNow); rejected(err) != "429 too_many_requests" {
			t.Errorf("an eleventh: %v", err)
		}
	}
	if _, _, err := all.Issue(user(10), testNow); rejected(err) != "503 full" {
		t.Errorf("a hundred and first: %v", err)
	}
	if _, _, err := all.Issue(user(0), testNow.Add(30*time.Second)); err != nil {
		t.Errorf("when the others are too old: %v", err)
	}
	for range 10_000 {
		ticket, _, err := all.Issue(user(1), testNow.Add(31*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := all.Spend([]byte(ticket), testNow.Add(31*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if len(all.all) != 1 || len(all.users) != 1 || cap(all.queue) > 1000 {
		t.Errorf("%d tickets of %d users and %d entries are kept, want 1, 1 and a few", len(all.all), len(all.users), cap(all.queue))
	}
}

// TestTicketReplay: of many who come with one ticket at once, one gets in.
func TestTicketReplay(t *testing.T) {
	t.Parallel()
	var all Tickets
	u := &Upgrader{Guards: []Guard{all.Bearer(mustHS256(testSecret))}, Now: func() time.Time { return testNow }}
	for range 200 {
		ticket, _, err := all.Issue(&Identity{Subject: "alice"}, testNow)
		if err != nil {
			t.Fatal(err)
		}
		var in, out atomic.Int32
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				switch answer, _, _ := knock(u, up("GET /ws?ticket="+ticket+" HTTP/1.1")); verdict(answer) {
				case "101":
					in.Add(1)
				case "401 ticket_invalid":
					out.Add(1)
				}
			})
		}
		wg.Wait()
		if in.Load() != 1 || out.Load() != 3 {
			t.Fatalf("%d got in and %d did not, want 1 and 3", in.Load(), out.Load())
		}
	}
}

func TestTicketAtTheDoor(t *testing.T) {
	t.Parallel()
	var all Tickets
	u := &Upgrader{Guards: []Guard{all.Bearer(mustHS256(testSecret))}, Now: func() time.Time { return testNow }}
	good := goodToken("alice")
	issue := func() string {
		ticket, _, err := all.Issue(&Identity{Subject: "alice"}, testNow)
		if err != nil {
			t.Fatal(err)
		}
		return ticket
	}
	one, two := issue(), issue()
	target := func(query string) string { return "GET /ws?" + query + " HTTP/1.1" }
	for _, c := range []struct{ name, head, want string }{
		{"a probe", head(target("ticket="+one), "Host: h", "Accept: application/problem+json"), "200 ok"},
		{"a foreign page", up(target("ticket="+one), "Origin: https://evil.example"), "403 origin_not_allowed"},
		{"a bad key", up(target("ticket="+one), "-Sec-WebSocket-Key"), "400 bad_key"},
		{"a token too", up(target("ticket="+one), "Authorization: Bearer "+good), "400 token_ambiguous"},
		{"two tickets", up(target("ticket=" + one + "&ticket=" + two)), "400 token_ambiguous"},
		{"after all that", up(target("ticket=" + one)), "101"},
		{"again", up(target("ticket=" + one)), "401 ticket_invalid"},
		{"a probe of a spent one", head(target("ticket="+one), "Host: h", "Accept: application/problem+json"), "401 ticket_invalid"},
		{"an empty one", up(target("ticket=")), "401 token_missing"},
		{"a token for a ticket", up(target("ticket=" + good)), "401 ticket_invalid"},
		{"a ticket for a token", up(target("token=" + two)), "401 token_invalid"},
		{"escaped", up(target("ticket=" + escapeAll(two))), "101"},
		{"a token as ever", up("Authorization: Bearer " + good), "101"},
		{"neither", up(), "401 token_missing"},
	} {
		answer, _, _ := knock(u, c.head)
		if got := verdict(answer); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func escapeAll(s string) (escaped string) {
	for _, c := range []byte(s) {
		escaped += fmt.Sprintf("%%%02X", c)
	}
	return escaped
}

func TestTicketHandler(t *testing.T) {
	t.Parallel()
	var all Tickets
	h := all.Handler(mustHS256(testSecret))
	exp := time.Now().Add(time.Hour).Unix()
	good := sign(map[string]any{"sub": "alice", "exp": exp})
	ask := func(method string, authorization ...string) *httptest.ResponseRecorder {
		req := httptest.NewRequest(method, "/ticket", nil)
		req.Header["Authorization"] = authorization
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		return w
	}
	w := ask("POST", "Bearer "+good)
	var answer map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 || answer["expires_in"] != 30.0 || len(answer) != 2 {
		t.Fatalf("got %d %s, %v", w.Code, w.Body, err)
	}
	if got := w.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: %q", got)
	}
	if id, err := all.Spend([]byte(answer["ticket"].(string)), time.Now()); err != nil || id.Subject != "alice" || id.ExpiresAt.Unix() != exp {
		t.Errorf("the ticket: got %+v, %v", id, err)
	}
	for _, c := range []struct {
		method, authorization string
		status                int
		code                  string
	}{
		{"POST", "", 401, CodeTokenMissing},
		{"POST", "Basic YTpi", 401, CodeTokenMissing},
		{"POST", "Bearer x", 401, CodeTokenInvalid},
		{"POST", "bearer  " + sign(map[string]any{"sub": "alice", "exp": 1}), 401, CodeTokenExpired},
		{"GET", "Bearer " + good, 405, CodeMethodNotAllowed},
	} {
		w := ask(c.method, c.authorization)
		if w.Code != c.status || !strings.Contains(w.Body.String(), `"code":"`+c.code+`"`) {
			t.Errorf("%s %q: got %d %s, want %d %s", c.method, c.authorization, w.Code, w.Body, c.status, c.code)
		}
		if challenge := w.Header().Get("WWW-Authenticate"); (challenge != "") != (c.status == http.StatusUnauthorized) {
			t.Errorf("%s %q: WWW-Authenticate %q", c.method, c.authorization, challenge)
		}
	}
	if w := ask("POST", "Bearer "+good, "Bearer "+sign(map[string]any{"sub": "bob", "exp": exp})); w.Code != 400 {
		t.Errorf("two tokens: got %d", w.Code)
	}
}
