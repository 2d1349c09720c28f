//go:build linux

package guard

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// before starts a server with a guard in front of an application of net/http. with may change the
// guard.
func before(t *testing.T, app http.HandlerFunc, with func(*Guard)) (addr string) {
	t.Helper()
	srv := httptest.NewServer(app)
	t.Cleanup(srv.Close)
	g := &Guard{Upstream: open(t, Upstreams{URLs: []string{srv.URL}})}
	if with != nil {
		with(g)
	}
	_, addr, _ = strings.Cut(front(t, g, &server.Server{MessageTimeout: -1}), "://")
	return addr
}

// say sends a request as it is.
func say(t *testing.T, addr string, lines ...string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, strings.Join(lines, "\r\n")+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	return c
}

// hear reads the answer to a request.
func hear(t *testing.T, c net.Conn, method string) (*http.Response, string) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// seen is what an application has got of a request.
type seen struct {
	Method, Target, Host string
	Header               http.Header
	Body                 string
}

// mirror answers with what it has got.
func mirror(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("X-App", "yes")
	_ = json.NewEncoder(w).Encode(seen{r.Method, r.RequestURI, r.Host, r.Header, string(body)})
}

// TestPlainHeaders: an application reads of a plain request what the client has sent, without
// what carries the token, what could make a tunnel of it, and what only the guard says.
func TestPlainHeaders(t *testing.T) {
	addr := before(t, mirror, func(g *Guard) {
		g.Forward = Forward{Params: []string{"token"}, Cookies: []string{"token"}, Claims: []string{"plan", "email_verified"}}
		g.Recognize = func(req *http.Request) (*upgrade.Request, error) {
			r, err := recognizeNobody(req)
			if err == nil && req.Header.Get("X-Who") != "" {
				r.Identity = &upgrade.Identity{Subject: "al ice", Claims: map[string]any{"plan": "gold", "email_verified": true, "other": 1}}
			}
			return r, err
		}
	})
	resp, body := hear(t, say(t, addr, "POST /a%2Fb//c?x=1&token=secret&y=%20;token=secret HTTP/1.1", "Host: app.example",
		"Authorization: Bearer secret", "Cookie: a=1; token=secret; b=2", "X-Who: alice",
		"X-Usher-Subject: root", "X_Usher_Subject: root", "X-Usher-Claim-Admin: true", "X-Forwarded-For: 1.2.3.4", "X-Forwarded-Host: evil", "Forwarded: for=1.2.3.4",
		"X-Request-Id: mine", "X-Original-URL: /admin", "X-HTTP-Method-Override: PATCH", "Proxy-Authorization: Basic x",
		"Upgrade: h2c", "HTTP2-Settings: AAMAAABk", "Connection: Upgrade, HTTP2-Settings, X-Hop", "X-Hop: here",
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
		"User-Agent: it", "Accept: text/html, application/problem+json", "X-Twice: 1", "X-Twice: 2", "Content-Length: 2", "", "hi"), "POST")
	var got seen
	if err := json.Unmarshal([]byte(body), &got); err != nil || resp.StatusCode != 200 || resp.Header.Get("X-App") != "yes" {
		t.Fatalf("got %v %s, %v", resp, body, err)
	}
	id := got.Header.Get("X-Request-Id")
	if len(id) != 32 {
		t.Errorf("the request is called %q", id)
	}
	got.Header.Del("X-Request-Id")
	got.Header.Del("Accept-Encoding")
	want := seen{"POST", "/a%2Fb//c?x=1&y=%20", "app.example", http.Header{
		"Cookie": {"a=1; b=2"}, "X-Who": {"alice"}, "X-Http-Method-Override": {"PATCH"}, "User-Agent": {"it"},
		"Accept": {"text/html, application/problem+json"}, "X-Twice": {"1", "2"}, "Content-Length": {"2"},
		"X-Forwarded-For": {"127.0.0.1"}, "X-Forwarded-Host": {"app.example"}, "X-Forwarded-Proto": {"http"},
		"X-Usher-Subject": {"al%20ice"}, "X-Usher-Claim-Plan": {"gold"}, "X-Usher-Claim-Email-Verified": {"true"},
	}, "hi"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the application got\n%v\nwant\n%v", got, want)
	}
	_, body = hear(t, say(t, addr, "GET / HTTP/1.1", "Host: h", "X-Usher-Subject: root"), "GET")
	if strings.Contains(body, "root") || strings.Contains(body, "X-Usher") {
		t.Errorf("of a stranger the application got %s", body)
	}
	resp, body = hear(t, say(t, addr, "HEAD / HTTP/1.1", "Host: h"), "HEAD")
	if resp.StatusCode != 200 || body != "" || resp.Header.Get("X-App") != "yes" {
		t.Errorf("HEAD: got %v, %q", resp, body)
	}
}

// TestPlainTrailer: what only the guard says cannot be said behind the body either.
func TestPlainTrailer(t *testing.T) {
	trailers := make(chan http.Header, 1)
	addr := before(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		trailers <- r.Trailer
	}, nil)
	hear(t, say(t, addr, "POST / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", "Trailer: X-Usher-Subject", "", "1", "a", "0", "X-Usher-Subject: root"), "POST")
	if got := <-trailers; len(got) > 0 {
		t.Errorf("the application got %v", got)
	}
}

// TestPlainToken: with Forward.Token everything goes on.
func TestPlainToken(t *testing.T) {
	addr := before(t, mirror, func(g *Guard) {
		g.Forward = Forward{Token: true, Params: []string{"token"}, Cookies: []string{"token"}}
	})
	_, body := hear(t, say(t, addr, "GET /?token=a HTTP/1.1", "Host: h", "Authorization: Bearer a", "Cookie: token=a"), "GET")
	for _, part := range []string{`"Target":"/?token=a"`, `"Authorization":["Bearer a"]`, `"Cookie":["token=a"]`} {
		if !strings.Contains(body, part) {
			t.Errorf("got %s, want %s", body, part)
		}
	}
}

// TestNoTunnel: only an upgrade that was judged is ever tunnelled, whatever a client asks for and
// an application grants.
func TestNoTunnel(t *testing.T) {
	asked := make(chan http.Header, 10)
	addr := before(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Header
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nGET /secret HTTP/1.1\r\n\r\n")
	}, nil)
	for _, request := range [][]string{
		{"GET / HTTP/1.1", "Host: h"},
		{"GET / HTTP/1.1", "Host: h", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk"},
		{"POST / HTTP/1.1", "Host: h", "Upgrade: h2c", "Connection: Upgrade", "Content-Length: 0"},
		{"OPTIONS / HTTP/1.1", "Host: h", "Upgrade: TLS/1.0, h2c", "Connection: Upgrade"},
		{"GET / HTTP/1.1", "Host: h", "Upgrade: websocketx", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="},
		{"GET / HTTP/1.1", "Host: h", "Upgrade: web", "Upgrade: socket", "Connection: Upgrade"},
	} {
		resp, body := hear(t, say(t, addr, request...), "GET")
		if resp.StatusCode != 502 || !strings.Contains(body, CodeInvalid) || resp.Header.Get("Retry-After") == "" || resp.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%q: got %v, %s", request, resp, body)
		}
		header := <-asked
		for _, name := range []string{"Upgrade", "Connection", "Http2-Settings", "Sec-Websocket-Key"} {
			if header[name] != nil {
				t.Errorf("%q: the application got %s: %q", request, name, header[name])
			}
		}
	}
	resp, body := hear(t, say(t, addr, "POST / HTTP/1.1", "Host: h", "Upgrade: websocket", "Connection: Upgrade", "Content-Length: 0"), "POST")
	if resp.StatusCode != 405 || len(asked) > 0 {
		t.Errorf("an upgrade that is a POST: got %v, %s", resp, body)
	}
}

// TestPlainStreams: both bodies pass as they come.
func TestPlainStreams(t *testing.T) {
	addr := before(t, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		b := make([]byte, 1)
		for {
			if _, err := io.ReadFull(r.Body, b); err != nil {
				return
			}
			_, _ = w.Write(b)
			_ = control.Flush()
		}
	}, nil)
	c := say(t, addr, "POST / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked")
	_, _ = io.WriteString(c, "1\r\na\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 1)
	for k := range 26 {
		if _, err := io.ReadFull(resp.Body, got); err != nil || got[0] != 'a'+byte(k) {
			t.Fatalf("got %q, %v", got, err)
		}
		_, _ = fmt.Fprintf(c, "1\r\n%c\r\n", 'b'+k)
	}
	_, _ = io.WriteString(c, "0\r\n\r\n")
	if rest, err := io.ReadAll(resp.Body); string(rest) != "{" || err != nil {
		t.Errorf("got %q, %v", rest, err)
	}
}

// TestPlainEnds: an application hears of a client that has gone, and a client of an application
// that has.
func TestPlainEnds(t *testing.T) {
	gone := make(chan bool)
	addr := before(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/dies" {
			_, _ = io.WriteString(w, "so far")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		gone <- true
		<-r.Context().Done()
		gone <- true
	}, nil)
	c := say(t, addr, "GET / HTTP/1.1", "Host: h")
	<-gone
	c.Close()
	<-gone
	c = say(t, addr, "GET /dies HTTP/1.1", "Host: h")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); string(b) != "so far" || err == nil {
		t.Errorf("got %q, %v, want an error", b, err)
	}
}

// silent is the address of a server that never says anything.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// TestPlainUnanswered: what an application does not answer is refused as an upgrade is.
func TestPlainUnanswered(t *testing.T) {
	addr := before(t, mirror, func(g *Guard) {
		g.Upstream = open(t, Upstreams{URLs: []string{"http://" + silent(t)}, Timeout: 50 * time.Millisecond})
	})
	resp, body := hear(t, say(t, addr, "GET / HTTP/1.1", "Host: h"), "GET")
	if resp.StatusCode != 504 || !strings.Contains(body, CodeTimeout) || resp.Header.Get("Retry-After") == "" {
		t.Errorf("got %v, %s", resp, body)
	}
	addr = before(t, mirror, func(g *Guard) { g.Upstream = open(t, Upstreams{URLs: []string{"http://127.0.0.1:1"}}) })
	resp, body = hear(t, say(t, addr, "GET / HTTP/1.1", "Host: h"), "GET")
	if resp.StatusCode != 502 || !strings.Contains(body, CodeUnreachable) || resp.Header.Get("Retry-After") == "" {
		t.Errorf("got %v, %s", resp, body)
	}
}

// TestPlainTimeout: a client that does not send its body in time is told so, and not that the
// application did not answer.
func TestPlainTimeout(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(mirror))
	t.Cleanup(app.Close)
	g := &Guard{Upstream: open(t, Upstreams{URLs: []string{app.URL}})}
	_, addr, _ := strings.Cut(front(t, g, &server.Server{MessageTimeout: 50 * time.Millisecond}), "://")
	resp, body := hear(t, say(t, addr, "POST / HTTP/1.1", "Host: h", "Content-Length: 1000000", "", "x"), "POST")
	if resp.StatusCode != 408 || !strings.Contains(body, `"timeout"`) {
		t.Errorf("got %v, %s", resp, body)
	}
}

// TestPath: requests of both kinds are asked for where the Path leads, with the values of the
// route's pattern.
func TestPath(t *testing.T) {
	targets := make(chan string, 1)
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { targets <- r.RequestURI }))
	t.Cleanup(app.Close)
	upstream := open(t, Upstreams{URLs: []string{app.URL}})
	srv := &server.Server{}
	for pattern, path := range map[string]string{"/ws/{room}": "/r/{room}/x", "/app/{path...}": "/{path...}", "/same/{x}": ""} {
		srv.Route(pattern, server.Route{Relay: (&Guard{Upstream: upstream, Path: path}).Relay()})
	}
	_, addr, _ := strings.Cut(front(t, &Guard{Upstream: upstream}, srv), "://")
	for target, want := range map[string]string{
		"/ws/a%20b?x=%2f": "/r/a%20b/x?x=%2f", "/app/x/y%3f": "/x/y%3F", "/app/": "/", "/same/a%20b": "/same/a%20b", "/other//x": "/other//x",
		"/app/%c3%a9": "/%C3%A9",
	} {
		for _, request := range []string{"GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n", headOf(target)} {
			c := say(t, addr, strings.TrimSuffix(request, "\r\n\r\n"))
			hear(t, c, "GET")
			if got := <-targets; got != want {
				t.Errorf("%q: the application was asked for %s, want %s", request, got, want)
			}
		}
	}
}

// TestLegs: connections count as clients see them, and those to the application beside them.
func TestLegs(t *testing.T) {
	srv := new(server.Server)
	url := front(t, application(t, echo), srv)
	connect(t, url)
	c := connect(t, url)
	_ = c.WriteMessage(1, []byte("x"))
	if _, _, err := c.ReadMessage(); err != nil {
		t.Fatal(err)
	}
	st := srv.Stats()
	if l := st.Loops[0]; l.Conns != 2 || l.Dialled != 2 || st.Sockets != 2 || st.Total.Conns != 2 {
		t.Errorf("got %d and %d dialled, %d sockets, %d open, want 2 of each", l.Conns, l.Dialled, st.Sockets, st.Total.Conns)
	}
}

// TestMethodHeaders: names in which frameworks read a method, as they are told from others.
func TestMethodHeaders(t *testing.T) {
	for _, name := range []string{"X-HTTP-Method", "x-http-method-override", "X_Method_Override"} {
		if !isMethod([]byte(name)) || !isWritten([]byte(name)) {
			t.Errorf("%s: is none", name)
		}
	}
	if names := []string{"X-Original-URL", "X-Usher-Subject", "X-HTTP-Methods"}; slices.ContainsFunc(names, func(n string) bool { return isMethod([]byte(n)) }) {
		t.Errorf("one of %q is one", names)
	}
}
