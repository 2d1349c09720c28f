package ticket

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/leak"
	"github.com/usher-ws/usher/upgrade"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

var testNow = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// tokens is a Verifier: a token is good until the time in the table.
type tokens map[string]time.Time

func (v tokens) Verify(token []byte, now time.Time) (*upgrade.Identity, error) {
	switch exp, ok := v[string(token)]; {
	case !ok:
		return nil, errors.New("unknown")
	case !now.Before(exp):
		return nil, upgrade.ErrTokenExpired
	default:
		return &upgrade.Identity{Subject: string(token), ExpiresAt: exp}, nil
	}
}

var holders = tokens{"alice": testNow.Add(time.Hour), "bob": testNow.Add(time.Hour)}

// head writes a head of whole lines, and up the head of an upgrade without a key.
func head(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }

func up(target string, lines ...string) string {
	return head(append([]string{"GET /ws?" + target + " HTTP/1.1", "Host: chat.example", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Version: 13"}, lines...)...)
}

const key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="

func doorOf(i *Issuer) *upgrade.Upgrader {
	return &upgrade.Upgrader{Guards: []upgrade.Guard{i.Bearer(holders)}, Now: func() time.Time { return testNow }}
}

// knock returns the verdict of a door, in words.
func knock(u *upgrade.Upgrader, head string) string {
	r := new(upgrade.Request)
	err := u.Parse([]byte(head), r)
	if err == nil {
		_, err = u.Respond(nil, r)
	}
	switch {
	case err == nil:
		return "101"
	case err == upgrade.ErrProbe:
		return "200 ok"
	}
	return rejected(err)
}

func rejected(err error) string {
	var rej *upgrade.Rejection
	if errors.As(err, &rej) {
		return fmt.Sprint(rej.Status, " ", rej.Code)
	}
	return fmt.Sprint(err)
}

func TestTickets(t *testing.T) {
	t.Parallel()
	var all Issuer
	alice := &upgrade.Identity{Subject: "alice", ExpiresAt: testNow.Add(time.Hour)}
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
	short := &upgrade.Identity{Subject: "bob", ExpiresAt: testNow.Add(10 * time.Second)}
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
	all := Issuer{Max: 100, PerUser: 10}
	user := func(n int) *upgrade.Identity { return &upgrade.Identity{Subject: fmt.Sprint("user ", n)} }
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

// TestTicketReplay: of many clients with the same ticket at once, one gets in.
func TestTicketReplay(t *testing.T) {
	t.Parallel()
	var all Issuer
	u := doorOf(&all)
	for range 200 {
		ticket, _, err := all.Issue(&upgrade.Identity{Subject: "alice"}, testNow)
		if err != nil {
			t.Fatal(err)
		}
		var in, out atomic.Int32
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				switch knock(u, up("ticket="+ticket, key)) {
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
	var all Issuer
	u := doorOf(&all)
	issue := func() string {
		ticket, _, err := all.Issue(&upgrade.Identity{Subject: "alice"}, testNow)
		if err != nil {
			t.Fatal(err)
		}
		return ticket
	}
	one, two := issue(), issue()
	for _, c := range []struct{ name, head, want string }{
		{"a probe", head("GET /ws?ticket="+one+" HTTP/1.1", "Host: h", "Accept: application/problem+json"), "200 ok"},
		{"a foreign page", up("ticket="+one, key, "Origin: https://evil.example"), "403 origin_not_allowed"},
		{"a bad key", up("ticket=" + one), "400 bad_key"},
		{"a token too", up("ticket="+one, key, "Authorization: Bearer alice"), "400 token_ambiguous"},
		{"the same for a token", up("ticket="+one+"&token="+one, key), "400 token_ambiguous"},
		{"a bad token too", up("ticket="+one, key, "Authorization: Bearer x"), "400 token_ambiguous"},
		{"two tokens too", up("ticket="+one+"&token=bob", key, "Authorization: Bearer alice"), "400 token_ambiguous"},
		{"two tickets", up("ticket="+one+"&ticket="+two, key), "400 token_ambiguous"},
		{"after all that", up("ticket="+one, key), "101"},
		{"again", up("ticket="+one, key), "401 ticket_invalid"},
		{"a probe of a spent one", head("GET /ws?ticket="+one+" HTTP/1.1", "Host: h", "Accept: application/problem+json"), "401 ticket_invalid"},
		{"an empty one", up("ticket=", key), "401 token_missing"},
		{"a token for a ticket", up("ticket=alice", key), "401 ticket_invalid"},
		{"a ticket for a token", up("token="+two, key), "401 token_invalid"},
		{"escaped", up("ticket="+escapeAll(two), key), "101"},
		{"a token as ever", up("", key, "Authorization: Bearer alice"), "101"},
		{"neither", up("", key), "401 token_missing"},
	} {
		if got := knock(u, c.head); got != c.want {
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
	var all Issuer
	exp := time.Now().Add(time.Hour)
	h := all.Handler(tokens{"alice": exp, "bob": exp, "late": time.Unix(1, 0)})
	ask := func(method string, authorization ...string) *httptest.ResponseRecorder {
		req := httptest.NewRequest(method, "/ticket", nil)
		req.Header["Authorization"] = authorization
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		return w
	}
	w := ask("POST", "Bearer alice")
	var answer map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 || answer["expires_in"] != 30.0 || len(answer) != 2 {
		t.Fatalf("got %d %s, %v", w.Code, w.Body, err)
	}
	if got := w.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control: %q", got)
	}
	if id, err := all.Spend([]byte(answer["ticket"].(string)), time.Now()); err != nil || id.Subject != "alice" || !id.ExpiresAt.Equal(exp) {
		t.Errorf("the ticket: got %+v, %v", id, err)
	}
	for _, c := range []struct {
		method, authorization string
		status                int
		code                  string
	}{
		{"POST", "", 401, upgrade.CodeTokenMissing},
		{"POST", "Basic YTpi", 401, upgrade.CodeTokenMissing},
		{"POST", "Bearer x", 401, upgrade.CodeTokenInvalid},
		{"POST", "bearer  late", 401, upgrade.CodeTokenExpired},
		{"GET", "Bearer alice", 405, upgrade.CodeMethodNotAllowed},
	} {
		w := ask(c.method, c.authorization)
		if w.Code != c.status || !strings.Contains(w.Body.String(), `"code":"`+c.code+`"`) {
			t.Errorf("%s %q: got %d %s, want %d %s", c.method, c.authorization, w.Code, w.Body, c.status, c.code)
		}
		if challenge := w.Header().Get("WWW-Authenticate"); (challenge != "") != (c.status == http.StatusUnauthorized) {
			t.Errorf("%s %q: WWW-Authenticate %q", c.method, c.authorization, challenge)
		}
	}
	if w := ask("POST", "Bearer alice", "Bearer bob"); w.Code != 400 {
		t.Errorf("two tokens: got %d", w.Code)
	}
}
