//go:build linux

package main_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// A row is a request and the verdict it must get. Its name begins with the number of the
// row of docs/CODES.md that answers. A name with "<" belongs to a request that breaks the
// rules of two rows: the first of them answers.
type row struct {
	name    string
	request []string
	status  int
	code    string
}

// door are the flags of the program for most rows.
var door = []string{
	"--echo", "/echo", "--echo-auth", "/auth", "--rooms", "lobby,cellar", "--origin", "https://friend.example",
}

// TestVerdicts is the table of docs/CODES.md, but for rows that need the program in a certain
// state: see TestFull, TestDraining, TestPerAddress, TestPerUser, TestSlow and TestPage. Row
// 13, the answer of an application's own Authorize, cannot be had from the command line: the
// tests of package server hold it.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	p := serve(t, door...)
	var rows []row
	for _, part := range [][]row{
		syntaxRows(), capRows(), routeRows(), methodRows(), handshakeRows(), originRows(), tokenRows(), roomRows(),
	} {
		rows = append(rows, part...)
	}
	for _, r := range rows {
		knock(t, p.addr, r)
	}
}

// knock sends the request of a row in every order of its header lines.
func knock(t *testing.T, addr string, r row) {
	t.Run(r.name, func(t *testing.T) {
		for order, head := range orders(r.request) {
			a := ask(t, addr, head)
			method, _, _ := strings.Cut(head, " ")
			for _, flaw := range flawsOfRefusal(a, method, r.status) {
				t.Errorf("%s: %s", order, flaw)
			}
			if method != http.MethodHead && r.code != "" && a.code() != r.code {
				t.Errorf("%s: code: got %q, want %q", order, a.code(), r.code)
			}
			if t.Failed() {
				t.Fatalf("got %s\nhead %q", a, head)
			}
		}
	})
}

func syntaxRows() []row {
	bad := func(name string, edits ...string) row {
		return row{"1 " + name, upgradeTo("/echo", edits...), 400, "bad_request"}
	}
	return []row{
		bad("bare LF", "X-A: b\nX-C: d"),
		bad("space before the colon", "Upgrade : websocket"),
		bad("control byte", "X-A: b\x01c"),
		bad("NUL", "X-A: b\x00c"),
		bad("folded line", "X-A: b\r\n c"),
		bad("two Hosts", "+Host: chat.example"),
		bad("no Host", "-Host"),
		bad("two Keys", "+Sec-WebSocket-Key: "+wsKey),
		bad("Content-Length", "Content-Length: 5"),
		bad("Transfer-Encoding", "Transfer-Encoding: chunked"),
		{"1 garbage for a request line", []string{"garbage"}, 400, "bad_request"},
		{"1 TLS", []string{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"}, 400, "bad_request"},
		{"1 upgrade in HTTP/1.0", upgradeTo("/echo", "GET /echo HTTP/1.0"), 505, "version_not_supported"},
		{"1 < 3 two Hosts, unknown path", upgradeTo("/nowhere", "+Host: a"), 400, "bad_request"},
		{"1 < 4 two Hosts, POST", upgradeTo("/echo", "POST /echo HTTP/1.1", "+Host: a"), 400, "bad_request"},
		{"1 < 8 control byte, foreign Origin", upgradeTo("/echo", "X-A: \x7f", "Origin: null"), 400, "bad_request"},
		{"1 < 9 two Keys, no token", upgradeTo("/auth", "+Sec-WebSocket-Key: "+wsKey), 400, "bad_request"},
	}
}

func capRows() []row {
	const headCap = 16 << 10
	many := slices.Repeat([]string{"+X: y"}, 100)
	return []row{
		{"1 request line over the cap", upgradeTo("/" + strings.Repeat("a", headCap)), 414, "uri_too_long"},
		{"1 head over the cap", upgradeTo("/echo", "X-A: "+strings.Repeat("b", headCap)), 431, "header_too_large"},
		{"1 too many lines", upgradeTo("/echo", many...), 431, "header_too_large"},
		{"1 < 9 head over the cap, bad token", upgradeTo("/auth", "Authorization: Bearer x", "X-A: "+strings.Repeat("b", headCap)), 431, "header_too_large"},
	}
}

func routeRows() []row {
	return []row{
		{"3 unknown path", get("/nowhere"), 404, "not_found"},
		{"3 unknown path, upgrade", upgradeTo("/nowhere"), 404, "not_found"},
		{"3 < 4 unknown path, POST", []string{"POST /nowhere HTTP/1.1", "Host: a", "Content-Length: 0"}, 404, "not_found"},
		{"3 < 5 unknown path, probe", get("/nowhere", probe), 404, "not_found"},
		{"3 < 6 unknown path, version 8", upgradeTo("/nowhere", "Sec-WebSocket-Version: 8"), 404, "not_found"},
		{"3 < 8 unknown path, foreign Origin", upgradeTo("/nowhere", "Origin: null"), 404, "not_found"},
	}
}

const probe = "Accept: text/html;q=0.5, application/problem+json"

func methodRows() []row {
	return []row{
		{"4 POST", upgradeTo("/echo", "POST /echo HTTP/1.1"), 405, "method_not_allowed"},
		{"4 DELETE to a room", upgradeTo("/ws/lobby", "DELETE /ws/lobby HTTP/1.1"), 405, "method_not_allowed"},
		{"4 < 5 POST that asks for a problem", []string{"POST /echo HTTP/1.1", "Host: a", probe}, 405, "method_not_allowed"},
		{"4 < 6 POST, no Upgrade", upgradeTo("/echo", "POST /echo HTTP/1.1", "-Upgrade"), 405, "method_not_allowed"},
		{"5 probe without a token", get("/auth", probe), 401, "token_missing"},
		{"5 probe with a foreign Origin", get("/auth", probe, "Origin: null"), 403, "origin_not_allowed"},
		{"5 probe of an unknown room", get("/ws/attic", probe, bearer(token("alice"))), 404, "room_unknown"},
		{"5 probe of a forbidden room", get("/ws/lobby", probe, bearer(token("alice", "cellar"))), 403, "room_forbidden"},
	}
}

func bearer(token string) string { return "Authorization: Bearer " + token }

func handshakeRows() []row {
	return []row{
		{"6 a browser's GET", get("/echo", "Accept: text/html,*/*;q=0.8", "Connection: keep-alive"), 426, "upgrade_required"},
		{"6 HEAD", []string{"HEAD /echo HTTP/1.1", "Host: a"}, 426, ""},
		{"6 HEAD with all of an upgrade", upgradeTo("/echo", "HEAD /echo HTTP/1.1"), 426, ""},
		{"6 another Upgrade", upgradeTo("/echo", "Upgrade: h2c"), 426, "upgrade_required"},
		{"6 no version", upgradeTo("/echo", "-Sec-WebSocket-Version"), 426, "upgrade_required"},
		{"6 version 8", upgradeTo("/echo", "Sec-WebSocket-Version: 8"), 426, "upgrade_required"},
		{"6 version 13, 8", upgradeTo("/echo", "Sec-WebSocket-Version: 13, 8"), 426, "upgrade_required"},
		{"6 < 7 version 8, no key", upgradeTo("/echo", "Sec-WebSocket-Version: 8", "-Sec-WebSocket-Key"), 426, "upgrade_required"},
		{"6 < 8 no Upgrade, foreign Origin", upgradeTo("/echo", "-Upgrade", "Origin: null"), 426, "upgrade_required"},
		{"6 < 9 no Upgrade, no token", get("/auth"), 426, "upgrade_required"},
		{"7 no key", upgradeTo("/echo", "-Sec-WebSocket-Key"), 400, "bad_key"},
		{"7 key of 15 bytes", upgradeTo("/echo", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA"), 400, "bad_key"},
		{"7 key of 17 bytes", upgradeTo("/echo", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA="), 400, "bad_key"},
		{"7 key that is no base64", upgradeTo("/echo", "Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!=="), 400, "bad_key"},
		{"7 no Connection", upgradeTo("/echo", "-Connection"), 400, "bad_connection"},
		{"7 Connection: keep-alive", upgradeTo("/echo", "Connection: keep-alive"), 400, "bad_connection"},
		{"7 < 8 no key, foreign Origin", upgradeTo("/echo", "-Sec-WebSocket-Key", "Origin: null"), 400, "bad_key"},
		{"7 < 9 Connection: close, no token", upgradeTo("/auth", "Connection: close"), 400, "bad_connection"},
	}
}

func originRows() []row {
	return []row{
		{"8 foreign Origin", upgradeTo("/echo", "Origin: https://evil.example"), 403, "origin_not_allowed"},
		{"8 Origin null", upgradeTo("/echo", "Origin: null"), 403, "origin_not_allowed"},
		{"8 the same host at another port", upgradeTo("/echo", "Origin: http://chat.example:8080"), 403, "origin_not_allowed"},
		{"8 a friend in http", upgradeTo("/echo", "Origin: http://friend.example"), 403, "origin_not_allowed"},
		{"8 < 9 foreign Origin, no token", upgradeTo("/auth", "Origin: null"), 403, "origin_not_allowed"},
		{"8 < 9 foreign Origin, two tokens", upgradeTo("/auth?token=a", "Origin: null", bearer("b")), 403, "origin_not_allowed"},
		{"8 < 10 foreign Origin, unknown room", upgradeTo("/ws/attic", "Origin: null", bearer(token("alice"))), 403, "origin_not_allowed"},
	}
}

func tokenRows() []row {
	later, before := time.Now().Add(time.Hour).Unix(), time.Now().Add(-time.Minute).Unix()
	with := func(name string, method jwt.SigningMethod, claims jwt.MapClaims, code string) row {
		return row{"9 " + name, upgradeTo("/auth", bearer(sign(method, claims))), 401, code}
	}
	two := "/auth?token=" + token("alice")
	return []row{
		{"9 two tokens", upgradeTo(two, bearer(token("bob"))), 400, "token_ambiguous"},
		{"9 two tokens, in cookie and subprotocol", upgradeTo("/auth", "Cookie: token=a", "Sec-WebSocket-Protocol: bearer, b"), 400, "token_ambiguous"},
		{"9 two tokens, one of them bad", upgradeTo(two, "Cookie: token=x"), 400, "token_ambiguous"},
		{"9 no token", upgradeTo("/auth"), 401, "token_missing"},
		{"9 bad token", upgradeTo("/auth", bearer("letmein")), 401, "token_invalid"},
		{"9 bad token in the query", upgradeTo("/auth?token=letmein"), 401, "token_invalid"},
		{"9 good token in a cookie, no Origin", upgradeTo("/auth", "Cookie: token="+token("alice")), 403, "origin_not_allowed"},
		{"9 bad token in a cookie", upgradeTo("/auth", "Cookie: a=b; token=letmein"), 401, "token_invalid"},
		{"9 bad token as a subprotocol", upgradeTo("/auth", "Sec-WebSocket-Protocol: bearer, letmein"), 401, "token_invalid"},
		{"9 changed signature", upgradeTo("/auth", bearer(token("alice")[:100]+"AAAA")), 401, "token_invalid"},
		with("expired", jwt.SigningMethodHS256, jwt.MapClaims{"sub": "alice", "exp": before}, "token_expired"),
		with("no exp", jwt.SigningMethodHS256, jwt.MapClaims{"sub": "alice"}, "token_invalid"),
		with("no sub", jwt.SigningMethodHS256, jwt.MapClaims{"exp": later}, "token_invalid"),
		with("alg HS384", jwt.SigningMethodHS384, jwt.MapClaims{"sub": "alice", "exp": later}, "token_invalid"),
		with("alg none", jwt.SigningMethodNone, jwt.MapClaims{"sub": "alice", "exp": later}, "token_invalid"),
		{"9 < 10 no token, unknown room", upgradeTo("/ws/attic"), 401, "token_missing"},
		{"9 < 10 bad token, unknown room", upgradeTo("/ws/attic", bearer("x")), 401, "token_invalid"},
		{"9 < 10 two tokens, unknown room", upgradeTo("/ws/attic?token=x", bearer("y")), 400, "token_ambiguous"},
	}
}

func roomRows() []row {
	return []row{
		{"10 unknown room", upgradeTo("/ws/attic", bearer(token("alice"))), 404, "room_unknown"},
		{"10 no room's name", upgradeTo("/ws/a%2eb", bearer(token("alice"))), 404, "room_unknown"},
		{"10 a name too long", upgradeTo("/ws/"+strings.Repeat("a", 65), bearer(token("alice"))), 404, "room_unknown"},
		{"10 < 11 unknown room that the token lacks", upgradeTo("/ws/attic", bearer(token("alice", "lobby"))), 404, "room_unknown"},
		{"11 a room that the token lacks", upgradeTo("/ws/lobby", bearer(token("alice", "cellar"))), 403, "room_forbidden"},
		{"11 a token for no room", upgradeTo("/ws/lobby", bearer(token("alice", []string{}...))), 403, "room_forbidden"},
	}
}

// TestWWWAuthenticate: a 401 speaks of an invalid token only if one was sent.
func TestWWWAuthenticate(t *testing.T) {
	t.Parallel()
	p := serve(t, door...)
	for _, c := range []struct {
		request []string
		invalid bool
	}{
		{upgradeTo("/auth"), false},
		{upgradeTo("/auth", "Authorization: Basic YTpi"), false},
		{upgradeTo("/auth?token="), false},
		{get("/auth", probe), false},
		{upgradeTo("/auth", bearer("x")), true},
		{upgradeTo("/ws/lobby?token=x"), true},
		{get("/auth", probe, "Cookie: token=x"), true},
		{upgradeTo("/auth", bearer(sign(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "a", "exp": 1}))), true},
	} {
		a := ask(t, p.addr, head(c.request...))
		got := strings.Join(a.values("WWW-Authenticate"), " | ")
		if !strings.HasPrefix(got, "Bearer") || strings.Contains(got, `error="invalid_token"`) != c.invalid {
			t.Errorf("got %q, want Bearer, error=\"invalid_token\" %t\nhead %q", got, c.invalid, head(c.request...))
		}
	}
}

// TestWelcomes: requests that pass each row.
func TestWelcomes(t *testing.T) {
	t.Parallel()
	p := serve(t, door...)
	alice := token("alice")
	for name, lines := range map[string][]string{
		"1 a head of 16 KiB":         upgradeTo("/echo", "X-A: "+strings.Repeat("b", 16<<10-len(head(upgradeTo("/echo", "X-A: ")...)))),
		"1 Content-Length 0":         upgradeTo("/echo", "Content-Length: 0"),
		"7 two Connection lines":     upgradeTo("/echo", "Connection: keep-alive", "+Connection: Upgrade"),
		"8 no Origin":                upgradeTo("/echo"),
		"8 the same host":            upgradeTo("/echo", "Origin: https://chat.example"),
		"8 the same host and port":   upgradeTo("/echo", "Host: chat.example:8080", "Origin: http://chat.example:8080"),
		"8 a friend":                 upgradeTo("/echo", "Origin: https://friend.example"),
		"9 Authorization":            upgradeTo("/auth", bearer(alice)),
		"9 bEARER":                   upgradeTo("/auth", "authorization: bEARER "+alice),
		"9 a cookie":                 upgradeTo("/auth", "Cookie: a=b; token="+alice+"; c=d", "Origin: https://friend.example"),
		"9 a query":                  upgradeTo("/auth?token=" + alice),
		"9 an escaped query":         upgradeTo("/auth?x=y&token=%65" + strings.ReplaceAll(alice[1:], ".", "%2e")),
		"9 the same token four ways": upgradeTo("/auth?token="+alice, bearer(alice), "Cookie: token="+alice, "Sec-WebSocket-Protocol: bearer, "+alice),
		"10 a room":                  upgradeTo("/ws/lobby", bearer(alice)),
		"11 the token's room":        upgradeTo("/ws/lobby", bearer(token("alice", "lobby"))),
	} {
		t.Run(name, func(t *testing.T) {
			for order, head := range orders(lines) {
				w := dial(t, p.addr)
				w.write(head)
				if a := w.answer(); a.status != 101 || len(a.values("Sec-WebSocket-Accept")) != 1 ||
					a.values("Sec-WebSocket-Accept")[0] != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
					t.Errorf("%s: got %s, want 101 with RFC 6455's accept\nhead %q", order, a, head)
				}
				w.conn.Close()
			}
		})
	}
}

// TestProbe: a probe is answered 200 instead of 101, any number of times, and spends nothing.
func TestProbe(t *testing.T) {
	t.Parallel()
	p := serve(t, append([]string{"--max-conns-per-user", "1"}, door...)...)
	for _, lines := range [][]string{
		get("/echo", probe),
		get("/auth", probe, bearer(token("alice"))),
		get("/auth", probe, bearer(token("alice"))),
		get("/ws/lobby?token="+token("alice"), probe),
		get("/ws/lobby", probe, "Origin: https://friend.example", "Cookie: token="+token("alice")),
	} {
		for order, head := range orders(lines) {
			a := ask(t, p.addr, head)
			if a.status != 200 || a.body != `{"code":"ok"}` || a.err != nil {
				t.Errorf("%s: got %s, want 200 {\"code\":\"ok\"}\nhead %q", order, a, head)
			}
		}
	}
	join(t, p.addr, upgradeTo("/auth", bearer(token("alice")))...)
	if a := ask(t, p.addr, head(get("/auth", probe, bearer(token("alice")))...)); a.status != 429 {
		t.Errorf("with alice's one connection open: got %s, want 429", a)
	}
}

// TestOptions: preflights of listed origins are allowed, others are answered.
func TestOptions(t *testing.T) {
	t.Parallel()
	p := serve(t, door...)
	for origin, want := range map[string][]string{
		"https://friend.example": {"https://friend.example"},
		"https://evil.example":   nil,
		"null":                   nil,
	} {
		for order, head := range orders([]string{
			"OPTIONS /ws/lobby HTTP/1.1", "Host: chat.example", "Origin: " + origin, "Access-Control-Request-Method: GET",
		}) {
			a := ask(t, p.addr, head)
			if got := a.values("Access-Control-Allow-Origin"); a.status != 204 || a.body != "" || !slices.Equal(got, want) {
				t.Errorf("%s: got %s, want 204 with Access-Control-Allow-Origin %q\nhead %q", order, a, want, head)
			}
		}
	}
}

// TestPage: row 3 of docs/CODES.md, what no route matches goes to the http.Handler.
func TestPage(t *testing.T) {
	t.Parallel()
	p := serve(t, door...)
	for order, head := range orders(get("/", "Accept: text/html", "Connection: keep-alive")) {
		a := ask(t, p.addr, head)
		if a.status != 200 || !strings.HasPrefix(strings.Join(a.values("Content-Type"), ""), "text/html") ||
			!strings.Contains(a.body, `id="username"`) || a.err != nil {
			t.Errorf("%s: got %s, want 200 and the page", order, a)
		}
	}
	for order, head := range orders(get("/", "Accept: application/json")) {
		a := ask(t, p.addr, head)
		if a.status != 200 || strings.Join(a.values("Content-Type"), "") != "application/json" ||
			!strings.HasPrefix(a.body, "{") || a.err != nil {
			t.Errorf("%s: got %s, want 200 and JSON", order, a)
		}
	}
}
