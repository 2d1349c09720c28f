package upgrade

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// request is one as net/http hands it to a handler; lines are "Name: value".
func request(t *testing.T, method, target string, lines ...string) *http.Request {
	t.Helper()
	req := httptest.NewRequest(method, target, nil)
	req.Host = "chat.example"
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		req.Header.Add(name, value)
	}
	return req
}

// TestCORS: the pages of listed origins can read a handler's answers, errors among
// them, and no others can.
func TestCORS(t *testing.T) {
	t.Parallel()
	u := &Upgrader{Origins: []string{"https://friend.example", "null"}}
	h := u.CORS(Reject(429, CodeTooManyRequests, "Not so fast."), "POST")
	plain := u.CORS(Reject(404, CodeNotFound, "Nothing here."))
	for _, c := range []struct {
		h              http.Handler
		method, origin string
		status         int
		want           string // Access-Control-Allow-Origin
		methods        string
	}{
		{h, "POST", "https://friend.example", 429, "https://friend.example", ""},
		{h, "POST", "https://chat.example", 429, "https://chat.example", ""},
		{h, "POST", "null", 429, "null", ""},
		{h, "POST", "https://evil.example", 429, "", ""},
		{h, "POST", "https://friend.example/", 429, "", ""},
		{h, "POST", "", 429, "", ""},
		{h, "OPTIONS", "https://friend.example", 204, "https://friend.example", "POST, OPTIONS"},
		{h, "OPTIONS", "https://evil.example", 204, "", ""},
		{h, "OPTIONS", "", 204, "", ""},
		{plain, "GET", "https://friend.example", 404, "https://friend.example", ""},
		{plain, "OPTIONS", "https://friend.example", 404, "https://friend.example", ""},
	} {
		var lines []string
		if c.origin != "" {
			lines = []string{"Origin: " + c.origin}
		}
		w := httptest.NewRecorder()
		c.h.ServeHTTP(w, request(t, c.method, "/token", lines...))
		got := w.Header()
		if w.Code != c.status || got.Get("Access-Control-Allow-Origin") != c.want || got.Get("Access-Control-Allow-Methods") != c.methods || got.Get("Vary") != "Origin" {
			t.Errorf("%s of %q: got %d %v, want %d %q %q", c.method, c.origin, w.Code, got, c.status, c.want, c.methods)
		}
		if c.status == 204 && got.Get("Allow") != "POST, OPTIONS" {
			t.Errorf("Allow: got %q", got.Get("Allow"))
		}
		if exposed := got.Get("Access-Control-Expose-Headers"); (exposed == "Retry-After, WWW-Authenticate") != (c.want != "") {
			t.Errorf("%s of %q: exposes %q", c.method, c.origin, exposed)
		}
		if sent := got.Get("Access-Control-Allow-Headers"); (sent == "Authorization, Content-Type") != (c.methods != "") {
			t.Errorf("%s of %q: takes %q", c.method, c.origin, sent)
		}
	}
}

// TestJudgePage: a request that another site makes its visitors send is refused; one that
// no browser sends is not.
func TestJudgePage(t *testing.T) {
	t.Parallel()
	some, all := &Upgrader{Origins: []string{"https://friend.example"}}, &Upgrader{Origins: []string{"*"}}
	for _, c := range []struct {
		u     *Upgrader
		lines []string
		pass  bool
	}{
		{some, nil, true},
		{some, []string{"Origin: https://chat.example", "Sec-Fetch-Site: same-origin"}, true},
		{some, []string{"Origin: https://friend.example", "Sec-Fetch-Site: cross-site"}, true},
		{some, []string{"Origin: https://evil.example"}, false},
		{some, []string{"Origin: null"}, false},
		{some, []string{"Origin: null", "Sec-Fetch-Site: cross-site"}, false},
		{some, []string{"Origin: null", "Sec-Fetch-Site: same-origin"}, true}, // a form of one's own under no-referrer
		{some, []string{"Origin: https://evil.example", "Sec-Fetch-Site: same-origin"}, false},
		{some, []string{"Origin: https://evil.example", "Content-Type: text/plain"}, false},
		{some, []string{"Origin: https://friend.example", "Origin: https://evil.example"}, false},
		{some, []string{"Sec-Fetch-Site: cross-site"}, false},
		{some, []string{"Sec-Fetch-Site: same-site"}, false},
		{some, []string{"Sec-Fetch-Site: same-origin"}, true},
		{some, []string{"Sec-Fetch-Site: none"}, true},
		{all, []string{"Origin: https://evil.example"}, true},
		{all, []string{"Origin: null"}, true},
		{all, []string{"Sec-Fetch-Site: cross-site"}, true},
	} {
		err := c.u.JudgePage(request(t, "POST", "/token", c.lines...))
		if (err == nil) != c.pass || err != nil && rejected(err) != "403 origin_not_allowed" {
			t.Errorf("%q: got %v, want pass %t", c.lines, err, c.pass)
		}
	}
}

// TestMaxAuthorize: Authorize is asked about no more requests at a time than it may be; the
// others are told to come back.
func TestMaxAuthorize(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}, 1), make(chan struct{})
	u, addrs, outcomes := asker(t, func(context.Context, *Request) error {
		asked <- struct{}{}
		<-answer
		return Reject(403, CodeForbidden, "No.")
	})
	u.MaxAuthorize = 1
	for name, addr := range addrs {
		first := dial(t, addr)
		fmt.Fprint(first, up("GET /ws/x HTTP/1.1"))
		<-asked
		second := dial(t, addr)
		fmt.Fprint(second, up("GET /ws/x HTTP/1.1"))
		b, err := io.ReadAll(second)
		second.Close()
		if got := verdict(string(b)); err != nil || got != "503 unavailable" || !strings.Contains(string(b), "\r\nRetry-After: ") {
			t.Errorf("%s: got %q, %v, want 503", name, b, err)
		}
		<-outcomes
		answer <- struct{}{}
		b, err = io.ReadAll(first)
		first.Close()
		if got := verdict(string(b)); err != nil || got != "403 forbidden" {
			t.Errorf("%s: got %q, %v, want 403", name, b, err)
		}
		<-outcomes
	}
}

// TestCapsAreTold: a client that exceeds a cap is told which one, by every way in.
func TestCapsAreTold(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		bytes, lines int
		head, want   string
	}{
		{0, 0, fill(16<<10 + 1), "The head is larger than 16 KiB."},
		{20_000, 0, fill(20_001), "The head is larger than 20000 bytes."},
		{64 << 10, 0, fill(64<<10 + 1), "The head is larger than 64 KiB."},
		{2048, 0, up("GET /" + strings.Repeat("a", 2048) + " HTTP/1.1"), "The request line is larger than 2 KiB."},
		{0, 0, up(strings.Split(strings.TrimSuffix(strings.Repeat("+X: y|", 96), "|"), "|")...), "The head has more than 100 lines."},
		{0, 7, up("+X: y", "+X: y", "+X: y"), "The head has more than 7 lines."},
	} {
		u := &Upgrader{MaxHeaderBytes: c.bytes, MaxHeaderLines: c.lines}
		answer, _, _ := knock(u, c.head)
		if !strings.Contains(answer, c.want) {
			t.Errorf("got %q, want %s", answer, c.want)
		}
		w := httptest.NewRecorder()
		u.Handler(nil).ServeHTTP(w, parsed(t, c.head))
		if !strings.Contains(w.Body.String(), c.want) && !strings.Contains(c.want, "16 KiB") {
			t.Errorf("Handler: got %q, want %s", w.Body, c.want)
		}
	}
	big := &Upgrader{MaxHeaderBytes: 100 << 10}
	for _, c := range []struct{ head, want string }{{fill(100 << 10), "101"}, {fill(100<<10 + 1), "431 header_too_large"}} {
		if answer, _, _ := knock(big, c.head); verdict(answer) != c.want {
			t.Errorf("got %q, want %s", answer, c.want)
		}
		addr := serve(t, big, func(conn net.Conn, o outcome) {
			if o.err == nil {
				conn.Close()
			}
		})
		conn := dial(t, addr)
		fmt.Fprint(conn, c.head)
		answer, err := io.ReadAll(conn)
		conn.Close()
		if err != nil || verdict(string(answer)) != c.want {
			t.Errorf("Upgrade: got %q, %v, want %s", answer, err, c.want)
		}
	}
	if err := (&Upgrader{MaxHeaderBytes: MaxHeaderLimit + 1}).Validate(); err == nil {
		t.Error("a cap beyond all caps was taken")
	}
}

// parsed is a head as net/http reads it.
func parsed(t *testing.T, head string) *http.Request {
	t.Helper()
	req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head)))
	if err != nil {
		t.Fatal(err)
	}
	return req
}
