package upgrade

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, p := range []string{
		"*", "chat.example", "CHAT.example", "localhost", "chat.example:3000", "*.chat.example", "*.chat.example:3000",
		"https://chat.example", "http://chat.example:8080", "https://*.chat.example", "192.0.2.1", "[::1]", "[::1]:8080",
		"http://[2001:db8::1]", "chrome-extension://abcdefgh", "app://x", "xn--mnchen-3ya.example",
		"null", "file://", "app://.", "qrc://", "moz-extension://a-b-c",
	} {
		if err := (&Upgrader{Origins: []string{p}}).Validate(); err != nil {
			t.Error(err)
		}
	}
	for _, p := range []string{
		"", " ", "NULL", "https://null", "file:///", "1file://", "ws://", "https://", "://chat.example", "https:/chat.example", "https://chat.example/", "chat.example/x",
		"https://chat.example/path", "*chat.example", "chat.*", "*.", "*.*", "**", "https://*", "*:3000", "chat.example:",
		"chat.example:port", "chat.example:123456", "chat example", "user@chat.example", "chat..example", ".chat.example",
		"*..chat.example", "chat.example,b.example", "https//chat.example", "münchen.example", "[::1", "*.[::1]", "https://https://x", "chrome-extension://*", "chrome-extension://a/b", "file://a@b",
	} {
		if err := (&Upgrader{Origins: []string{"ok.example", p}}).Validate(); err == nil {
			t.Errorf("%q was taken", p)
		} else if !strings.Contains(err.Error(), "want host") {
			t.Errorf("%q: %v does not say what is wanted", p, err)
		}
	}
	for _, p := range []string{"", "a b", "a,b", "ä"} {
		if (&Upgrader{Subprotocols: []string{p}}).Validate() == nil {
			t.Errorf("subprotocol %q was taken", p)
		}
	}
	for _, u := range []*Upgrader{{}, openDoor, authDoor, anyDoor, namedDoor} {
		if err := u.Validate(); err != nil {
			t.Error(err)
		}
	}
}

// TestCookieScheme: for a cookie the scheme of the page matters.
func TestCookieScheme(t *testing.T) {
	t.Parallel()
	u := &Upgrader{
		Guards:  authDoor.Guards,
		Origins: []string{"*", "null", "file://", "bare.example", "http://clear.example", "https://safe.example", "app://shell"},
		Now:     openDoor.Now,
	}
	cookie := "Cookie: token=" + goodToken("alice")
	const refused = "403 origin_not_allowed"
	for _, c := range []struct {
		origin, line, want string
	}{
		{"http://chat.example", "", "101"},
		{"https://chat.example", "", "101"}, // a proxy ends TLS and tells us nothing
		{"https://chat.example", "X-Forwarded-Proto: http", "101"},
		{"http://chat.example", "X-Forwarded-Proto: http", "101"},
		{"http://chat.example", "X-Forwarded-Proto: https", refused},
		{"http://chat.example", "X-Forwarded-Proto: HTTPS , http", refused},
		{"http://chat.example", "X-Forwarded-Proto: wss", refused},
		{"http://chat.example", "X-Forwarded-Proto: http, https", "101"}, // the first proxy is asked in the clear
		{"http://chat.example", `Forwarded: for=192.0.2.1;Proto="https", for=10.0.0.1;proto=http`, refused},
		{"http://chat.example", "Forwarded: for=192.0.2.1;proto=http", "101"},
		{"http://chat.example", "GET https://chat.example/ws HTTP/1.1", refused},
		{"app://chat.example", "", refused},
		{"http://bare.example", "", "101"},
		{"http://bare.example", "X-Forwarded-Proto: https", refused},
		{"https://bare.example", "X-Forwarded-Proto: https", "101"},
		{"app://bare.example", "", refused},
		{"http://clear.example", "X-Forwarded-Proto: https", "101"}, // named by its scheme
		{"http://safe.example", "", refused},
		{"https://safe.example", "", "101"},
		{"app://shell", "", "101"},
		{"null", "", refused}, // anybody can be null
		{"file://", "", refused},
		{"https://evil.example", "", refused},
		{"https://chat.example/", "", refused},
	} {
		edits := []string{cookie, "Origin: " + c.origin}
		if c.line != "" {
			edits = append(edits, c.line)
		}
		answer, _, _ := knock(u, up(edits...))
		if got := verdict(answer); got != c.want {
			t.Errorf("%s, %s: got %s, want %s", c.origin, c.line, got, c.want)
		}
		answer, _, _ = knock(u, up(append(edits[1:], "Authorization: Bearer "+goodToken("alice"))...))
		if got := verdict(answer); got != "101" {
			t.Errorf("%s, %s, and no cookie: got %s", c.origin, c.line, got)
		}
	}
}

// TestReflected: an Origin that is no scheme://host is in no answer, and only an
// origin that is listed by its name may use cookies.
func TestReflected(t *testing.T) {
	t.Parallel()
	const with, without = true, false
	type shown struct {
		origin      string
		credentials bool
	}
	for _, c := range []struct {
		u      *Upgrader
		origin string
		want   shown
	}{
		{anyDoor, "https://evil.example", shown{"https://evil.example", without}},
		{anyDoor, "https://chat.example", shown{"https://chat.example", with}},
		{anyDoor, "null", shown{}},
		{anyDoor, "file://", shown{}},
		{anyDoor, "https://evil.example/", shown{}},
		{anyDoor, "https://evil.example:", shown{}},
		{anyDoor, "https://evil.example:99999", shown{}},
		{anyDoor, "https://u:p@evil.example", shown{}},
		{anyDoor, "evil.example", shown{}},
		{anyDoor, "", shown{}},
		{anyDoor, "https://a.example https://b.example", shown{}},
		{namedDoor, "null", shown{"null", without}},
		{namedDoor, "file://", shown{}},
		{namedDoor, "chrome-extension://abcdefgh", shown{"chrome-extension://abcdefgh", with}},
		{namedDoor, "https://evil.example", shown{}},
	} {
		for _, request := range []string{"GET /ws HTTP/1.1", "OPTIONS /ws HTTP/1.1"} {
			answer, _, _ := knock(c.u, head(request, "Host: chat.example", "Accept: "+problemJSON, "Origin: "+c.origin))
			resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), nil)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			got := shown{resp.Header.Get("Access-Control-Allow-Origin"), resp.Header.Get("Access-Control-Allow-Credentials") == "true"}
			if got != c.want || (got.origin != "") != (resp.Header.Get("Vary") == "Origin") {
				t.Errorf("%s of %q: got %+v, want %+v\n%s", request, c.origin, got, c.want, answer)
			}
		}
	}
}

// TestCookieOverTLS: if TLS ends here, no proxy needs to say so.
func TestCookieOverTLS(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if conn, _, _, err := authDoor.UpgradeHTTP(w, req); err == nil {
			conn.Close()
		}
	}))
	defer s.Close()
	addr := s.Listener.Addr().String()
	for origin, want := range map[string]string{"http://" + addr: "403 origin_not_allowed", "https://" + addr: "101"} {
		c, err := tls.Dial("tcp", addr, s.Client().Transport.(*http.Transport).TLSClientConfig)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, up("Host: "+addr, "Origin: "+origin, "Cookie: token="+goodToken("alice")))
		answer, _ := io.ReadAll(c)
		c.Close()
		if got := verdict(string(answer)); got != want {
			t.Errorf("%s: got %s, want %s", origin, got, want)
		}
	}
}

// TestCookieAndAnyOrigin: "*" lets pages in, but not their cookies.
func TestCookieAndAnyOrigin(t *testing.T) {
	t.Parallel()
	u := &Upgrader{Guards: authDoor.Guards, Origins: []string{"*", "friend.example"}, Now: authDoor.Now}
	for origin, want := range map[string]string{
		"https://chat.example":   "101",
		"https://friend.example": "101",
		"https://evil.example":   "403 origin_not_allowed",
	} {
		answer, _, _ := knock(u, up("Cookie: token="+goodToken("alice"), "Origin: "+origin))
		if got := verdict(answer); got != want {
			t.Errorf("%s: got %s, want %s", origin, got, want)
		}
		if answer, _, _ = knock(u, up("Authorization: Bearer "+goodToken("alice"), "Origin: "+origin)); verdict(answer) != "101" {
			t.Errorf("%s with a header: got %s, want 101", origin, verdict(answer))
		}
	}
}
