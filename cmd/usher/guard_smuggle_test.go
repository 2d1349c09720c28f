//go:build linux

package main_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
)

// TestGuardSmuggling: what reaches an application is what was judged, one request for one, whatever
// a client writes that two readers could take for two things. The door is /ws/{room} with a token
// and /form without; /admin is for nobody.
func TestGuardSmuggling(t *testing.T) {
	t.Parallel()
	app := newRecorder(t)
	p := guardOf(t, app.url, "--path", "/ws/{room}", "--path", "/form")
	var want []string
	for _, c := range smuggled() {
		t.Run(c.name, func(t *testing.T) {
			w := dial(t, p.addr)
			defer w.conn.Close()
			w.write(c.bytes)
			said := c.read(t, w)
			if status, _, _ := strings.Cut(strings.TrimPrefix(said, "HTTP/1.1 "), " "); status != c.status {
				t.Errorf("got %q, want %s\nfor %q", said, c.status, c.bytes)
			}
			if n := strings.Count(said, "\nX-App: "); n != len(c.reach) {
				t.Errorf("the application answers %d requests, want %d\nfor %q", n, len(c.reach), c.bytes)
			}
		})
		want = append(want, c.reach...)
	}
	if got := app.all(); !slices.Equal(got, want) {
		t.Errorf("the application got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// smuggling is a request that means two things, or more than one request.
type smuggling struct {
	name, bytes string
	status      string   // of the first answer
	reach       []string // what the application gets: "METHOD target host who body"
}

// read returns the heads and bodies of all answers. Behind an upgrade a request is a bad frame.
func (c smuggling) read(t *testing.T, w *wire) string {
	t.Helper()
	if c.status != "101" {
		said, err := io.ReadAll(w.in)
		if err != nil {
			t.Error(err)
		}
		return string(said)
	}
	a := w.answer()
	if a.status == 101 && strings.HasSuffix(c.bytes, hidden) {
		w.wantClose(1002)
	}
	return a.line + "\n" + strings.Join(a.lines, "\n")
}

const (
	hidden   = "GET /admin HTTP/1.1\r\nHost: chat.example\r\n\r\n" // behind what is shown
	upgraded = "GET /ws/a chat.example alice "
	form     = "POST /form chat.example - "
)

func smuggled() []smuggling {
	alice := bearer(token("alice"))
	up := func(edits ...string) string { return head(upgradeTo("/ws/a", append([]string{alice}, edits...)...)...) }
	post := func(body string, lines ...string) string {
		return head(slices.Concat([]string{"POST /form HTTP/1.1", "Host: chat.example"}, lines)...) + body
	}
	bad := func(name, bytes string) smuggling { return smuggling{name, bytes, "400", nil} }
	gone := func(name, path string) smuggling {
		return smuggling{name, head(upgradeTo(path, alice)...), "404", nil}
	}
	goes := func(name, bytes, status string, reach ...string) smuggling {
		return smuggling{name, bytes, status, reach}
	}
	const chunks = "5\r\nhello\r\n0\r\n\r\n"
	return []smuggling{
		// The end of a body.
		bad("CL and TE", post("0\r\n\r\n"+hidden, "Content-Length: 5", "Transfer-Encoding: chunked")),
		bad("TE and CL", post("5\r\nhello\r\n0\r\n\r\n"+hidden, "Transfer-Encoding: chunked", "Content-Length: 3")),
		bad("two CL", post("hello"+hidden, "Content-Length: 5", "Content-Length: 50")),
		bad("a list of CL", post("hello"+hidden, "Content-Length: 5, 50")),
		bad("CL with a sign", post("hello", "Content-Length: +5")),
		bad("CL in hexadecimal", post("hello", "Content-Length: 0x5")),
		bad("CL with a space in it", post("hello", "Content-Length: 5 0")),
		bad("TE unknown", post(chunks+hidden, "Transfer-Encoding: xchunked")),
		bad("TE identity", post("hello"+hidden, "Transfer-Encoding: identity", "Content-Length: 5")),
		bad("TE twice", post(chunks+hidden, "Transfer-Encoding: chunked", "Transfer-Encoding: identity")),
		bad("TE with a space before the colon", post(chunks+hidden, "Transfer-Encoding : chunked", "Content-Length: 5")),
		bad("TE folded", post(chunks+hidden, "Transfer-Encoding:\r\n chunked", "Content-Length: 5")),
		goes("TE with an underscore", post("hello", "Transfer_Encoding: chunked", "Content-Length: 5", "Connection: close"), "200", form+"hello"),
		goes("chunks", post(chunks, "Transfer-Encoding: chunked", "Connection: close"), "200", form+"hello"),
		goes("chunks with trailers", post("5\r\nhello\r\n0\r\nX-Usher-Subject: root\r\nHost: evil\r\n\r\n", "Transfer-Encoding: chunked", "Connection: close", "Trailer: X-Usher-Subject"), "200", form+"hello"),
		goes("a request in a body", post(hidden, fmt.Sprint("Content-Length: ", len(hidden)), "Connection: close"), "200", form+strings.TrimSpace(hidden)),

		// The shape of a head.
		bad("two Hosts", up("+Host: evil")),
		bad("two Hosts, plain", post("", "Content-Length: 0", "Host: evil")),
		bad("no Host", up("-Host")),
		bad("Host with a path", up("Host: chat.example/admin")),
		bad("Host with a space", up("Host: chat.example evil")),
		bad("obs-fold", up("X-A: b\r\n X-Usher-Subject: root")),
		bad("obs-fold, plain", post("", "Content-Length: 0", "X-A: b\r\n\tc")),
		bad("LF only", strings.ReplaceAll(up(), "\r\n", "\n")),
		bad("LF only, plain", strings.ReplaceAll(post("", "Content-Length: 0"), "\r\n", "\n")),
		bad("LF in a line", up("X-A: b\nX-Usher-Subject: root")),
		bad("CR in a line", up("X-A: b\rX-Usher-Subject: root")),
		bad("NUL", up("X-A: b\x00c")),
		bad("NUL in the path", head(upgradeTo("/ws/a\x00b", alice)...)),
		bad("space in the path", head(upgradeTo("/ws/a b", alice)...)),
		bad("a line without a name", up("+: x")),

		// The target.
		goes("absolute form", head(upgradeTo("http://chat.example/ws/a", alice)...), "101", upgraded),
		gone("absolute form of another path", "http://chat.example/admin"),
		gone("dots", "/ws/../admin"), gone("escaped dots", "/ws/%2e%2e/admin"), gone("dots and an escaped slash", "/ws/..%2fadmin"),
		gone("two slashes", "//admin"), gone("two slashes within", "/ws//admin"), gone("a backslash", "/ws/..\\admin"),
		gone("an escaped backslash", "/ws/..%5cadmin"), gone("dots with a parameter", "/ws/..;/admin"), gone("only dots", "/ws/.."),
		gone("an escaped slash", "/ws%2fa"), gone("escaped slash in a room", "/ws/a%2fb"),

		// Headers that are the guard's.
		goes("names with underscores", up("X_Usher_Subject: root", "X-Usher_Subject: root", "x-usher-subject: root"), "101", upgraded),
		goes("a header that is named for one hop", up("Connection: Upgrade, X-Usher-Subject, Host"), "101", upgraded),
		goes("a subject, plain", post("", "Content-Length: 0", "X_Usher_Subject: root", "X-Usher-Subject: root", "Connection: close, X-Usher-Subject"), "200", form),

		// More than one protocol, and more than one request.
		bad("two Keys", up("+Sec-WebSocket-Key: "+wsKey)),
		goes("two Upgrades", up("+Upgrade: h2c"), "101", upgraded),
		goes("another protocol besides", up("Upgrade: h2c, websocket"), "101", upgraded),
		bad("an upgrade with a body", up("Content-Length: "+fmt.Sprint(len(hidden)))+hidden),
		bad("an upgrade with chunks", up("Transfer-Encoding: chunked")+chunks+hidden),
		goes("h2c, plain", post("", "Content-Length: 0", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk", "Connection: Upgrade, HTTP2-Settings, close"), "200", form),
		goes("an upgrade by POST", post("", "Content-Length: 0", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: "+wsKey), "405"),
		goes("HTTP/2 at once", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "505"),
		goes("a request behind an upgrade", up()+hidden, "101", upgraded),
		goes("a request behind one that is refused", up("-Authorization")+hidden, "401"),
		goes("a request behind a plain one", post("hello", "Content-Length: 5")+hidden, "200", form+"hello"),
		bad("CONNECT", head("CONNECT admin:80 HTTP/1.1", "Host: admin:80")+hidden),
	}
}

// recorder is an application that keeps what it is sent to the byte, and lets everybody in.
type recorder struct {
	t   *testing.T
	url string

	mu       sync.Mutex
	requests []string // as in smuggling.reach
}

func newRecorder(t *testing.T) *recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{t: t, url: "http://" + l.Addr().String()}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			serving.Go(func() { r.serve(c) })
		}
	})
	t.Cleanup(serving.Wait) // last of all
	t.Cleanup(func() { l.Close() })
	return r
}

func (r *recorder) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// serve reads request after request, and behind an upgrade what must be frames.
func (r *recorder) serve(c net.Conn) {
	defer c.Close()
	var raw bytes.Buffer
	for in := bufio.NewReader(io.TeeReader(c, &raw)); ; {
		start := raw.Len() - in.Buffered()
		req, err := http.ReadRequest(in)
		if err != nil {
			if raw.Len() > start {
				r.t.Errorf("the application got %q: %v", raw.Bytes()[start:], err)
			}
			return
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return // a client that has gone
		}
		lines, _, _ := strings.Cut(raw.String()[start:], "\r\n\r\n")
		r.inspect(lines)
		who := req.Header.Get("X-Usher-Subject")
		if who == "" {
			who = "-"
		}
		r.mu.Lock()
		r.requests = append(r.requests, fmt.Sprint(req.Method, " ", req.RequestURI, " ", req.Host, " ", who, " ", strings.TrimSpace(string(body))))
		r.mu.Unlock()
		if req.Header.Get("Upgrade") == "" {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX-App: yes\r\nContent-Length: 2\r\n\r\nok")
			continue
		}
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nX-App: yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n") // to wsKey
		if frames, _ := io.ReadAll(in); bytes.Contains(frames, []byte("admin")) {
			r.t.Errorf("behind an upgrade the application got %q", frames)
		}
		return
	}
}

// inspect fails the test if two readers could take a head for two things.
func (r *recorder) inspect(head string) {
	times := make(map[string]int)
	for i, line := range strings.Split(head, "\r\n") {
		if strings.ContainsFunc(line, func(c rune) bool { return c < ' ' || c == 0x7f }) {
			r.t.Errorf("a control byte in %q", line)
		}
		if i == 0 {
			continue
		}
		name, _, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			r.t.Errorf("the line %q", line)
		}
		times[strings.ReplaceAll(strings.ToLower(name), "_", "-")]++
	}
	for _, name := range []string{"host", "x-usher-subject", "upgrade", "sec-websocket-key", "content-length", "transfer-encoding"} {
		if times[name] > 1 || name == "host" && times[name] == 0 {
			r.t.Errorf("%s is there %d times in\n%s", name, times[name], head)
		}
	}
	if times["content-length"] > 0 && times["transfer-encoding"] > 0 {
		r.t.Errorf("two lengths in\n%s", head)
	}
	if times["http2-settings"] > 0 || strings.Contains(strings.ToLower(head), "h2c") {
		r.t.Errorf("another protocol in\n%s", head)
	}
}
