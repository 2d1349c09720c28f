//go:build linux

package guard

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/usher-ws/usher/upgrade"
)

const accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" // of key, RFC 6455 §1.3

// switching is a 101 with these lines in the place of the three that it needs, or behind them.
func switching(lines ...string) string {
	return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, upgrade\r\n" +
		"Sec-WebSocket-Accept: " + accept + "\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n"
}

// passed reads the answer at every cut, which must not matter, and returns what the client gets,
// as net/http reads it.
func passed(t *testing.T, f *Forward, r *upgrade.Request, forgetful bool, in string, eof bool) (answer, *http.Response, error) {
	t.Helper()
	got, err := f.passAnswer(nil, r, forgetful, []byte(in), eof)
	for k := range in {
		part, errPart := f.passAnswer(nil, r, forgetful, []byte(in[:k]), false)
		if errPart != nil && err == nil || part.n > 0 && (part.n != got.n || !bytes.Equal(part.response, got.response)) {
			t.Errorf("cut at %d: %d bytes, %q, %v; want %d, %q, %v", k, part.n, part.response, errPart, got.n, got.response, err)
		}
	}
	if err != nil || got.n == 0 {
		return got, nil, err
	}
	resp, errRead := http.ReadResponse(bufio.NewReader(bytes.NewReader(got.response)), nil)
	if errRead != nil {
		t.Fatalf("%v: %q", errRead, got.response)
	}
	return got, resp, nil
}

// TestUpgrades: an upgrade that is valid reaches the client, and no other.
func TestUpgrades(t *testing.T) {
	offers := []string{"Sec-WebSocket-Protocol: bearer, x.y.z, chat, v2", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"}
	for _, c := range []struct {
		name, in  string
		protocol  string
		extension string
		bad       bool
	}{
		{name: "plain", in: switching(), protocol: "bearer"},
		{name: "subprotocol", in: switching("sec-websocket-protocol: v2"), protocol: "v2"},
		{name: "another subprotocol", in: switching("Sec-WebSocket-Protocol: v3"), bad: true},
		{name: "the token as a subprotocol", in: switching("Sec-WebSocket-Protocol: x.y.z"), bad: true},
		{name: "bearer, which did not go on", in: switching("Sec-WebSocket-Protocol: bearer"), bad: true},
		{name: "two subprotocols", in: switching("Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: v2"), bad: true},
		{name: "deflate", in: switching("Sec-WebSocket-Extensions: permessage-deflate"), protocol: "bearer", extension: "permessage-deflate"},
		{name: "another extension", in: switching("Sec-WebSocket-Extensions: x-other"), bad: true},
		{name: "deflate twice", in: switching("Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate"), bad: true},
		{name: "HTTP/1.0", in: strings.Replace(switching(), "HTTP/1.1", "HTTP/1.0", 1), bad: true},
		{name: "no Upgrade", in: strings.Replace(switching(), "Upgrade: WebSocket", "X: y", 1), bad: true},
		{name: "h2c", in: strings.Replace(switching(), "WebSocket", "h2c", 1), bad: true},
		{name: "no Connection", in: strings.Replace(switching(), "keep-alive, upgrade", "close", 1), bad: true},
		{name: "wrong Accept", in: strings.Replace(switching(), accept, accept[1:], 1), bad: true},
		{name: "two Accepts", in: switching("Sec-WebSocket-Accept: " + accept), bad: true},
		{name: "a bare LF in a value", in: switching("X: a\nSet-Cookie: b"), bad: true},
		{name: "a bare CR in a value", in: switching("X: a\rSet-Cookie: b"), bad: true},
		{name: "a folded line", in: switching("X: a", " b"), bad: true},
		{name: "space before the colon", in: switching("X : a"), bad: true},
		{name: "no HTTP", in: "SSH-2.0-OpenSSH_9.2\r\n\r\n", bad: true},
	} {
		r, ok := letIn(headOf("/ws", offers...))
		if !ok {
			t.Fatal("the door does not let it in")
		}
		got, resp, err := passed(t, &hiding, r, false, c.in, false)
		if c.bad {
			if !errors.Is(err, errInvalid) {
				t.Errorf("%s: got %q, %v, want 502", c.name, got.response, err)
			}
			continue
		}
		if err != nil || got.n != len(c.in) || resp.StatusCode != 101 {
			t.Errorf("%s: got %q, %v", c.name, got.response, err)
			continue
		}
		h := resp.Header
		if h.Get("Sec-WebSocket-Protocol") != c.protocol || h.Get("Sec-WebSocket-Extensions") != c.extension || got.deflate != (c.extension != "") ||
			h.Get("Upgrade") != "websocket" || h.Get("Connection") != "Upgrade" || h.Get("Sec-WebSocket-Accept") != accept {
			t.Errorf("%s: got %q", c.name, got.response)
		}
	}
}

// TestForgetful: a client whose messages may be left out does not refer to them when it
// compresses.
func TestForgetful(t *testing.T) {
	r, _ := letIn(headOf("/ws", "Sec-WebSocket-Extensions: permessage-deflate"))
	for in, want := range map[string]string{
		"permessage-deflate":                             "permessage-deflate; client_no_context_takeover",
		"permessage-deflate ;client_no_context_takeover": "permessage-deflate ;client_no_context_takeover",
		"permessage-deflate; server_max_window_bits=10":  "permessage-deflate; server_max_window_bits=10; client_no_context_takeover",
	} {
		_, resp, err := passed(t, &hiding, r, true, switching("Sec-WebSocket-Extensions: "+in), false)
		if err != nil || resp.Header.Get("Sec-WebSocket-Extensions") != want {
			t.Errorf("%s: got %v, %v, want %s", in, resp, err, want)
		}
	}
}

// TestNoOffer: an extension that the client has not offered is none, whatever was.
func TestNoOffer(t *testing.T) {
	r, _ := letIn(headOf("/ws", "Sec-WebSocket-Extensions: x-other"))
	if _, _, err := passed(t, &hiding, r, false, switching("Sec-WebSocket-Extensions: permessage-deflate"), false); !errors.Is(err, errInvalid) {
		t.Errorf("got %v, want 502", err)
	}
}

// TestRefusals: an application's refusal reaches the client as it is, with a length of its own.
func TestRefusals(t *testing.T) {
	long := strings.Repeat("x", maxBody+1)
	for _, c := range []struct {
		in, status, body string
		eof              bool
		header           map[string]string
	}{
		{in: "HTTP/1.1 403 Nope\r\nContent-Length: 2\r\nX-Why: so\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\r\nno", status: "403 Forbidden", body: "no",
			header: map[string]string{"X-Why": "so", "X-Hop": "", "Keep-Alive": "", "Content-Length": "2"}},
		{in: "HTTP/1.1 429 X\r\nRetry-After: 7\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n3\r\n!!!\r\n0\r\n\r\n", status: "429 Too Many Requests", body: "no!!!",
			header: map[string]string{"Retry-After": "7", "Content-Length": "5"}},
		{in: "HTTP/1.0 500 X\r\n\r\nbye", eof: true, status: "500 Internal Server Error", body: "bye"},
		{in: "HTTP/1.1 302 X\r\nLocation: /in\r\nContent-Length: 0\r\nSet-Cookie: a=b\r\n\r\n", status: "302 Found", header: map[string]string{"Location": "/in", "Set-Cookie": "a=b"}},
		{in: "HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 401 X\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", status: "401 Unauthorized",
			header: map[string]string{"WWW-Authenticate": "Basic", "Link": ""}},
		{in: "HTTP/1.1 404 X\r\n\r\n" + long[:100], eof: true, status: "404 Not Found", body: long[:100]},
	} {
		r, _ := letIn(headOf("/ws"))
		_, resp, err := passed(t, &hiding, r, false, c.in, c.eof)
		if err != nil || resp == nil {
			t.Errorf("%.40q: got %v, %v", c.in, resp, err)
			continue
		}
		body, _ := io.ReadAll(resp.Body)
		if resp.Status != c.status || string(body) != c.body || !resp.Close {
			t.Errorf("%.40q: got %s, close %t, %q", c.in, resp.Status, resp.Close, body)
		}
		for name, want := range c.header {
			if got := resp.Header.Get(name); got != want {
				t.Errorf("%.40q: %s: got %q, want %q", c.in, name, got, want)
			}
		}
	}
	r, _ := letIn(headOf("/ws"))
	got, err := new(Forward).passAnswer(nil, r, false, []byte("HTTP/1.1 500 X\r\n\r\n"+long), true)
	if err != nil || !bytes.HasSuffix(got.response, []byte("\r\n\r\n"+long[:maxBody])) {
		t.Errorf("a long body: got %d bytes, %v", len(got.response), err)
	}
	if _, err := new(Forward).passAnswer(nil, r, false, []byte("HTTP/1.1 500 X\r\n"), true); !errors.Is(err, errInvalid) {
		t.Errorf("half a head: got %v, want 502", err)
	}
}

// TestGorilla: an application with gorilla/websocket on net/http, asked over a socket, lets in
// and refuses whom it wants, and what it answers is what its client would get.
func TestGorilla(t *testing.T) {
	up := websocket.Upgrader{Subprotocols: []string{"v2"}, EnableCompression: true}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("X-Usher-Subject") != "alice" || req.URL.Query().Has("token") {
			http.Error(w, "not you", http.StatusForbidden)
			return
		}
		c, err := up.Upgrade(w, req, http.Header{"X-App": {"1"}})
		if err == nil {
			_ = c.WriteMessage(websocket.TextMessage, []byte("welcome"))
			c.Close()
		}
	}))
	defer srv.Close()
	for subject, want := range map[string]int{"alice": 101, "bob": 403} {
		r, _ := letIn(headOf("/ws?token=secret", "Sec-WebSocket-Protocol: v1, v2", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"))
		r.Identity.Subject = subject
		c, err := net.Dial("tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(hiding.AppendRequest(nil, r, "", "1")); err != nil {
			t.Fatal(err)
		}
		var in []byte
		var got answer
		for b := make([]byte, 7); got.n == 0; {
			n, errRead := c.Read(b)
			in = append(in, b[:n]...)
			if got, err = hiding.passAnswer(nil, r, true, in, errRead == io.EOF); err != nil || errRead != nil && got.n == 0 {
				t.Fatalf("%s: %v, %v: %q", subject, err, errRead, in)
			}
		}
		var rest []byte
		if got.status == http.StatusSwitchingProtocols {
			rest, _ = io.ReadAll(c)
		}
		c.Close()
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(got.response)), nil)
		if err != nil || resp.StatusCode != want || got.status != want {
			t.Errorf("%s: got %q, want %d", subject, got.response, want)
			continue
		}
		if want == 101 && (resp.Header.Get("X-App") != "1" || resp.Header.Get("Sec-WebSocket-Protocol") != "v2" || !got.deflate || len(in)+len(rest) <= got.n) {
			t.Errorf("%s: got %q and %d bytes behind it", subject, got.response, len(in)+len(rest)-got.n)
		}
		if body, _ := io.ReadAll(resp.Body); want == 403 && string(body) != "not you\n" {
			t.Errorf("%s: got %q", subject, body)
		}
	}
}
