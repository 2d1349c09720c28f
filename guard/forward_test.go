//go:build linux

package guard

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/usher-ws/usher/upgrade"
)

// key is that of RFC 6455 §1.3.
const key = "dGhlIHNhbXBsZSBub25jZQ=="

// headOf is an upgrade with further header lines.
func headOf(target string, lines ...string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: chat.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + "\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n"
}

// letIn parses a head that the door lets in, as alice's, and reports whether it does.
func letIn(head string) (*upgrade.Request, bool) {
	var u upgrade.Upgrader
	r := new(upgrade.Request)
	if n, err := u.Read([]byte(head), 0, r); err != nil || n != len(head) {
		return nil, false
	}
	if _, err := u.Respond(nil, r); err != nil {
		return nil, false
	}
	r.RemoteAddr = netip.MustParseAddrPort("192.0.2.7:1234")
	r.Identity = &upgrade.Identity{Subject: "alice", Claims: map[string]any{"sub": "alice", "plan": "gold", "age": 7.0, "rooms": []any{"a", "b"}}}
	return r, true
}

var hiding = Forward{Params: []string{"token", "ticket"}, Cookies: []string{"token"}, Claims: []string{"plan", "age", "rooms", "none"}}

// asked is what an application reads of a request for head, parsed by net/http.
func asked(t *testing.T, f *Forward, head string) *http.Request {
	t.Helper()
	r, ok := letIn(head)
	if !ok {
		t.Fatalf("the door does not let in %q", head)
	}
	return reread(t, f.AppendRequest(nil, r, "", "id-1"))
}

// reread parses what was written, of which nothing may be left.
func reread(t *testing.T, out []byte) *http.Request {
	t.Helper()
	in := bufio.NewReader(bytes.NewReader(out))
	req, err := http.ReadRequest(in)
	if err != nil || in.Buffered() > 0 {
		t.Fatalf("%v, and %d bytes are left of\n%s", err, in.Buffered(), out)
	}
	return req
}

// TestHidden: what carries the token does not go on, however it is written, and all else does.
func TestHidden(t *testing.T) {
	for _, c := range []struct{ target, line, header, want string }{
		{"/ws?token=a.b.c", "", "query", ""},
		{"/ws?x=1&token=a.b.c&y=2", "", "query", "x=1&y=2"},
		{"/ws?token=a&x=1", "", "query", "x=1"},
		{"/ws?x=1&tok%65n=a", "", "query", "x=1"},
		{"/ws?x=1;token=a;y=2", "", "query", "x=1;y=2"},
		{"/ws?ticket=t&Token=b&tokens=c", "", "query", "Token=b&tokens=c"},
		{"/ws?", "", "query", ""},
		{"/ws?a=%26token=x", "", "query", "a=%26token=x"},
		{"/ws", "Authorization: Bearer a.b.c", "Authorization", ""},
		{"/ws", "authorization: bEARER a.b.c", "Authorization", ""},
		{"/ws", "Authorization: Basic YTpi", "Authorization", "Basic YTpi"},
		{"/ws", "Cookie: token=a.b.c", "Cookie", ""},
		{"/ws", "Cookie: a=1; token=a.b.c;b=2", "Cookie", "a=1; b=2"},
		{"/ws", "Cookie: tokens=1; token =x;  Token=2", "Cookie", "tokens=1; Token=2"},
		{"/ws", "Sec-WebSocket-Protocol: bearer, a.b.c", "Sec-WebSocket-Protocol", ""},
		{"/ws", "Sec-WebSocket-Protocol: bearer, a.b.c, chat, v2", "Sec-WebSocket-Protocol", "chat, v2"},
		{"/ws", "Sec-WebSocket-Protocol: v2,bearer,a.b.c", "Sec-WebSocket-Protocol", "v2"},
	} {
		lines := []string{}
		if c.line != "" {
			lines = append(lines, c.line)
		}
		head := headOf(c.target, lines...)
		req := asked(t, &hiding, head)
		got := strings.Join(req.Header.Values(c.header), "|")
		if c.header == "query" {
			got = req.URL.RawQuery
		}
		if got != c.want {
			t.Errorf("%s %s: got %q, want %q", c.target, c.line, got, c.want)
		}
		all := Forward{Token: true, Params: hiding.Params, Cookies: hiding.Cookies}
		req = asked(t, &all, head)
		name, value, _ := strings.Cut(c.line, ": ")
		if c.line != "" && req.Header.Get(name) != value {
			t.Errorf("with Token, %s: got %q", c.line, req.Header.Get(name))
		}
		if _, query, _ := strings.Cut(c.target, "?"); req.URL.RawQuery != query {
			t.Errorf("with Token, %s: got %q", c.target, req.URL.RawQuery)
		}
	}
}

// TestWritten: what the application is told of a client comes from the guard, and from nobody
// else.
func TestWritten(t *testing.T) {
	forged := []string{
		"X-Usher-Subject: admin", "x-usher-claim-plan: platinum", "X_Usher_Subject: admin", "X-Usher_Claim-age: 99",
		"X-Forwarded-For: 203.0.113.9", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https", "X_Forwarded_For: 1.1.1.1",
		"X-Forwarded-Prefix: /admin", "Forwarded: for=203.0.113.9", "X-Real-IP: 203.0.113.9", "X-Request-Id: chosen",
		"X-Original-URL: /admin", "X-Rewrite-URL: /admin", "X-HTTP-Method-Override: DELETE",
		"TE: trailers", "Keep-Alive: 5", "Proxy-Authorization: Basic eA==", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA", "Expect: 100-continue",
		"X-Hop: 1", "Connection: x-hop, keep-alive",
	}
	req := asked(t, &hiding, headOf("/ws", append(forged, "User-Agent: it", "X-Mine: 1", "X-Mine: 2", "Origin: http://chat.example")...))
	want := map[string]string{
		"Upgrade": "websocket", "Connection": "Upgrade", "Sec-Websocket-Version": "13", "Sec-Websocket-Key": key,
		"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Host": "chat.example", "X-Forwarded-Proto": "http", "X-Request-Id": "id-1",
		"X-Usher-Subject": "alice", "X-Usher-Claim-Plan": "gold", "X-Usher-Claim-Age": "7", "X-Usher-Claim-Rooms": `["a","b"]`,
		"User-Agent": "it", "X-Mine": "1|2", "Origin": "http://chat.example",
	}
	for name, values := range req.Header {
		if got := strings.Join(values, "|"); want[name] != got {
			t.Errorf("%s: got %q, want %q", name, got, want[name])
		}
		delete(want, name)
	}
	if len(want) > 0 || req.Host != "chat.example" {
		t.Errorf("Host %q, and missing are %v", req.Host, want)
	}
}

// TestSubjects: whatever a token says of its user, it is one header line.
func TestSubjects(t *testing.T) {
	for subject, want := range map[string]string{
		"alice@example.com": "alice@example.com", "a b": "a%20b", "x\r\nX-Usher-Claim-plan: gold": "x%0D%0AX-Usher-Claim-plan:%20gold",
		"Zoë": "Zo%C3%AB", "100%": "100%25", " ": "%20",
	} {
		r, _ := letIn(headOf("/ws"))
		r.Identity = &upgrade.Identity{Subject: subject}
		req := reread(t, new(Forward).AppendRequest(nil, r, "", "1"))
		if got := req.Header.Values("X-Usher-Subject"); len(got) != 1 || got[0] != want || len(req.Header.Values("X-Usher-Claim-Plan")) > 0 {
			t.Errorf("%q: got %q, want %q", subject, got, want)
		}
	}
}

// TestExtensions: only offers of permessage-deflate go on.
func TestExtensions(t *testing.T) {
	for in, want := range map[string]string{
		"permessage-deflate; client_max_window_bits":                           "permessage-deflate; client_max_window_bits",
		"x-other, permessage-deflate":                                          "permessage-deflate",
		`x; a="b, permessage-deflate, c"`:                                      "",
		`permessage-deflate; server_max_window_bits="10", bbf-mux`:             `permessage-deflate; server_max_window_bits="10"`,
		"permessage-deflate; client_no_context_takeover,x,,permessage-deflate": "permessage-deflate; client_no_context_takeover, permessage-deflate",
		"permessage-deflate-2":                                                 "",
		`x; a="\"", permessage-deflate`:                                        "",
	} {
		if got := asked(t, &hiding, headOf("/ws", "Sec-WebSocket-Extensions: "+in)).Header.Get("Sec-WebSocket-Extensions"); got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
}

// TestTargets: the application is asked for the path that was judged, and for one of its own if
// the guard maps it.
func TestTargets(t *testing.T) {
	for in, want := range map[string]string{
		"/": "/", "/a%2Fb": "/a%2Fb", "//x": "//x", "/a\\b": "/a%5Cb", "/a#b": "/a%23b", "/<\"é>": "/%3C%22%C3%A9%3E",
		"http://other.example/p?q=1": "/p?q=1", "http://other.example": "/", "/p?a=1?b#c": "/p?a=1?b%23c",
	} {
		r, ok := letIn(headOf(in))
		if !ok {
			continue // nothing that is refused is passed on
		}
		line, _, _ := strings.Cut(string(new(Forward).AppendRequest(nil, r, "", "1")), "\r\n")
		if line != "GET "+want+" HTTP/1.1" {
			t.Errorf("%s: got %q, want %q", in, line, want)
		}
	}
	r, _ := letIn(headOf("/ws/lobby?x=1"))
	if line, _, _ := strings.Cut(string(new(Forward).AppendRequest(nil, r, "/rooms", "1")), "\r\n"); line != "GET /rooms?x=1 HTTP/1.1" {
		t.Errorf("mapped: got %q", line)
	}
}

// FuzzForward: of whatever the door lets in, the application reads one request: the path and
// the host that were judged, and nothing under our names that is not ours.
func FuzzForward(f *testing.F) {
	for _, line := range []string{"Cookie: token=x; a", "X_Usher_Subject: a", "Connection: host, origin", "Sec-WebSocket-Protocol: bearer, x, y", "A:\t b "} {
		f.Add("/a?b&token=c", line)
	}
	f.Add("/a%2f..//b\\#c", "X: \x80")
	f.Add("http://h/..;/x", "Transfer-Encoding : chunked")
	f.Fuzz(func(t *testing.T, target, line string) {
		head := headOf(target, line)
		r, ok := letIn(head)
		if !ok {
			return
		}
		out := hiding.AppendRequest(nil, r, "", "id-1")
		again, ok := letIn(string(out))
		if !ok {
			t.Fatalf("we would not let in\n%s\nfor\n%s", out, head)
		}
		if again.Path() != r.Path() || again.Host() != r.Host() || again.BodyLength() != 0 {
			t.Fatalf("got %q of %q, want %q of %q", again.Path(), again.Host(), r.Path(), r.Host())
		}
		var ours []string
		for name, value := range again.Fields() {
			n := strings.ReplaceAll(strings.ToLower(string(name)), "_", "-")
			if strings.HasPrefix(n, "x-usher-") || strings.HasPrefix(n, "x-forwarded-") {
				ours = append(ours, fmt.Sprintf("%s=%s", n, value))
			}
		}
		slices.Sort(ours)
		want := []string{"x-forwarded-for=192.0.2.7", "x-forwarded-host=" + r.Host(), "x-forwarded-proto=http",
			"x-usher-claim-age=7", "x-usher-claim-plan=gold", `x-usher-claim-rooms=["a","b"]`, "x-usher-subject=alice"}
		if !slices.Equal(ours, want) {
			t.Fatalf("got %q, want %q for\n%s", ours, want, head)
		}
		tokens := upgrade.AuthorizationHeader(nil, again)
		tokens = upgrade.Subprotocol(tokens, again)
		tokens = upgrade.Cookie("token")(tokens, again)
		tokens = upgrade.Query("token")(tokens, again)
		if len(tokens) > 0 {
			t.Fatalf("tokens %q are in\n%s", tokens, out)
		}
	})
}
