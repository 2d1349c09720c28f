//go:build linux

package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestGuardVerdicts: what asks for an upgrade is judged by a guard as by serve, before the
// application is asked: here there is none.
func TestGuardVerdicts(t *testing.T) {
	t.Parallel()
	p := guardOf(t, "http://127.0.0.1:9", "--path", "/echo", "--path", "/auth", "--public", "/echo", "--origin", "https://friend.example")
	for _, r := range slices.Concat(syntaxRows(), capRows(), routeRows(), methodRows(), handshakeRows(), originRows(), tokenRows()) {
		isUpgrade := slices.ContainsFunc(r.request, func(l string) bool { return strings.HasPrefix(l, "Upgrade: websocket") })
		if isRoom := strings.Contains(r.request[0], " /ws/"); !isRoom && (isUpgrade || r.name[:2] == "1 " || r.name[:2] == "3 ") {
			knock(t, p.addr, r)
		}
	}
}

// onlyProbe is the Accept of what a guard takes for a probe.
const onlyProbe = "Accept: application/problem+json"

// TestGuardAnswers is row 14: what is let in gets the application's own answer, or is told that
// there is none, and so are probes. Plain requests are told the same.
func TestGuardAnswers(t *testing.T) {
	t.Parallel()
	answering := func(text string) string { return upstream(t, text) }
	for _, c := range []struct {
		upstream string
		rows     []row
	}{
		{"http://127.0.0.1:9", []row{
			{"14 nobody is there", upgradeTo("/ws"), 502, "upstream_unreachable"},
			{"14 nobody is there for a probe", get("/ws", onlyProbe), 502, "upstream_unreachable"},
			{"14 nobody is there for a plain request", get("/ws"), 502, "upstream_unreachable"},
		}},
		{"unix:/does/not/exist", []row{
			{"14 no socket", upgradeTo("/ws"), 502, "upstream_unreachable"},
		}},
		{answering(""), []row{
			{"14 it hangs up", upgradeTo("/ws"), 502, "upstream_unreachable"},
		}},
		{answering("silence"), []row{
			{"14 it says nothing", upgradeTo("/ws"), 504, "upstream_timeout"},
			{"14 it says nothing to a probe", get("/ws", onlyProbe), 504, "upstream_timeout"},
			{"14 it says nothing to a plain request", get("/ws"), 504, "upstream_timeout"},
		}},
		{answering("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"), []row{
			{"14 a 101 without Sec-WebSocket-Accept", upgradeTo("/ws"), 502, "upstream_invalid"},
			{"14 a 101 to a plain request", get("/ws"), 502, "upstream_invalid"},
		}},
		{answering("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"), []row{
			{"14 another protocol", upgradeTo("/ws", "Upgrade: h2c, websocket"), 502, "upstream_invalid"},
			{"14 another protocol, asked for", get("/ws", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk"), 502, "upstream_invalid"},
			{"14 another protocol, by POST", []string{"POST /ws HTTP/1.1", "Host: a", "Content-Length: 0", "Upgrade: h2c", "Connection: Upgrade"}, 502, "upstream_invalid"},
		}},
		{answering("SSH-2.0-x\r\n"), []row{
			{"14 no HTTP", upgradeTo("/ws"), 502, "upstream_invalid"},
		}},
	} {
		p := guardOf(t, c.upstream, "--upstream-timeout", "100ms", "--public", "/{path...}")
		for _, r := range c.rows {
			knock(t, p.addr, r)
		}
	}
	p := guardOf(t, answering("HTTP/1.1 402 Pay First\r\nContent-Type: text/plain\r\nX-App: yes\r\nContent-Length: 3\r\n\r\npay"), "--public", "/{path...}")
	for _, request := range [][]string{upgradeTo("/ws"), get("/ws")} {
		a := ask(t, p.addr, head(request...))
		if a.line != "HTTP/1.1 402 Payment Required" || a.body != "pay" || len(a.values("X-App")) != 1 || a.err != nil {
			t.Errorf("%q: got %v, want the application's answer", request[0], a)
		}
	}
}

// upstream is an application that answers each request with a text, or keeps silent, and returns
// its URL.
func upstream(t *testing.T, text string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil && text != "silence" {
					_, _ = io.WriteString(c, text)
					return
				}
				_, _ = io.Copy(io.Discard, c)
			}()
		}
	}()
	return fmt.Sprintf("http://%s", l.Addr())
}

// TestGuardProbes: a probe is answered as by serve if somebody is there; only one that accepts
// nothing else is one.
func TestGuardProbes(t *testing.T) {
	t.Parallel()
	p := guardOf(t, upstream(t, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\napp"))
	for _, c := range []struct {
		request []string
		status  int
		body    string
	}{
		{get("/ws", onlyProbe, bearer(token("alice"))), 200, `{"code":"ok"}`},
		{get("/ws", onlyProbe), 401, ""},
		{get("/ws", probe), 200, "app"},
		{get("/ws", onlyProbe, "Accept: text/html"), 200, "app"},
		{[]string{"POST /ws HTTP/1.1", "Host: a", "Content-Length: 0", onlyProbe}, 200, "app"},
	} {
		if a := ask(t, p.addr, head(c.request...)); a.status != c.status || c.body != "" && a.body != c.body {
			t.Errorf("%q: got %v, want %d %s", c.request, a, c.status, c.body)
		}
	}
}
