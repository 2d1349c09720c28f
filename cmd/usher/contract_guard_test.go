//go:build linux

package main_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
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
			{"14 it says nothing to a probe, the first that asks", get("/ws", onlyProbe), 504, "upstream_timeout"},
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

// mirror is an application that tells what it was asked for, in a refusal; it returns its URL.
func mirror(t *testing.T) string {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		fmt.Fprintf(w, "%s %s", r.Method, r.RequestURI)
		for name, values := range r.Header {
			fmt.Fprintf(w, "\n%s: %s", name, values)
		}
	}))
	t.Cleanup(app.Close)
	return app.URL
}

// TestGuardPaths: --path narrows what is passed on, and leads elsewhere; --public needs no token.
// A path that could be taken for another one is neither.
func TestGuardPaths(t *testing.T) {
	t.Parallel()
	app := mirror(t)
	p := guardOf(t, app, "--path", "/ws/{room}=/socket/{room}/x", "--path", "/files/{rest...},/lobby/{rest...}", "--public", "/lobby/{rest...},/ws/open")
	alice := bearer(token("alice"))
	for _, c := range []struct {
		path   string
		status int
		says   string
	}{
		{"/ws/a%20b?x=1", 418, "GET /socket/a%20b/x?x=1\n"}, {"/files/a/b", 418, "GET /files/a/b\n"}, {"/lobby/", 418, "GET /lobby/\n"},
		{"/", 404, "not_found"}, {"/ws", 404, "not_found"}, {"/ws/a/b", 404, "not_found"}, {"/lobby", 404, "not_found"},
		{"/files/../admin", 404, "not_found"}, {"/files/%2e%2e/admin", 404, "not_found"}, {"/files//admin", 404, "not_found"},
		{"/files/..%2fadmin", 404, "not_found"}, {"/files/..;/admin", 404, "not_found"}, {"/ws/..%5cadmin", 404, "not_found"},
	} {
		for _, request := range [][]string{upgradeTo(c.path, alice), get(c.path)} {
			if a := ask(t, p.addr, head(request...)); a.status != c.status || !strings.Contains(a.body, c.says) {
				t.Errorf("%q: got %v, want %d %s", request[:3], a, c.status, c.says)
			}
		}
	}
	for path, status := range map[string]int{"/lobby/x": 418, "/ws/open": 418, "/ws/other": 401, "/files/x": 401} {
		if a := ask(t, p.addr, head(upgradeTo(path)...)); a.status != status {
			t.Errorf("%s without a token: got %v, want %d", path, a, status)
		}
		if a := ask(t, p.addr, head(upgradeTo(path, bearer("x"))...)); a.status != status || strings.Contains(a.body, "X-Usher-Subject") {
			t.Errorf("%s with a bad token: got %v, want %d", path, a, status)
		}
		if a := ask(t, p.addr, head(upgradeTo(path, alice)...)); a.status != 418 || !strings.Contains(a.body, "X-Usher-Subject: [alice]") {
			t.Errorf("%s with a good token: got %v, want 418 for alice", path, a)
		}
	}

	// Without --path everything goes on as it is, and what is odd is not public.
	p = guardOf(t, app, "--public", "/lobby/{rest...}")
	for path, status := range map[string]int{"/lobby/x": 418, "/lobby//x": 401, "/lobby/..%2fadmin": 401, "//lobby/x": 401} {
		if a := ask(t, p.addr, head(upgradeTo(path)...)); a.status != status {
			t.Errorf("%s without a token: got %v, want %d", path, a, status)
		}
		if a := ask(t, p.addr, head(upgradeTo(path, alice)...)); a.status != 418 || !strings.HasPrefix(a.body, "GET "+path+"\n") {
			t.Errorf("%s: got %v, want 418, asked for as it is", path, a)
		}
	}
}

// TestGuardPatterns: --path and --public have the patterns of net/http, and the most special counts.
func TestGuardPatterns(t *testing.T) {
	t.Parallel()
	app := mirror(t)
	everything := guardOf(t, app, "--path", "/")
	some := guardOf(t, app, "--path", "/{$}", "--path", "/ws/", "--path", "/ws/{room}=/room/{room}", "--path", "/ws/hall=/hall", "--path", "/api/{$}", "--path", "/a%20b",
		"--public", "/ws/open/,/{$}")
	alice := bearer(token("alice"))
	for _, c := range []struct {
		p    *program
		path string
		to   string // "" if it is not passed on
	}{
		{everything, "/", "/"}, {everything, "/a", "/a"}, {everything, "/a/b/", "/a/b/"}, {everything, "/a//b", "/a//b"},
		{some, "/", "/"}, {some, "/other", ""},
		{some, "/ws", ""}, {some, "/ws/", "/ws/"}, {some, "/ws/a", "/room/a"}, {some, "/ws/hall", "/hall"}, {some, "/ws/a/b", "/ws/a/b"}, {some, "/ws/a/", "/ws/a/"},
		{some, "/ws/a/../b", ""}, {some, "/api/", "/api/"}, {some, "/api", ""}, {some, "/api/x", ""}, {some, "/%61%20b", "/%61%20b"},
	} {
		for _, request := range [][]string{upgradeTo(c.path, alice), get(c.path)} {
			a := ask(t, c.p.addr, head(request...))
			if isPassed := c.to != ""; isPassed != (a.status == 418) || isPassed && !strings.HasPrefix(a.body, "GET "+c.to+"\n") || !isPassed && a.code() != "not_found" {
				t.Errorf("%q: got %v, want it at %q", request[:3], a, c.to)
			}
		}
	}
	for path, status := range map[string]int{"/": 418, "/ws/open/": 418, "/ws/open/x/y": 418, "/ws/open": 401, "/ws/x": 401, "/api/": 401} {
		if a := ask(t, some.addr, head(upgradeTo(path)...)); a.status != status {
			t.Errorf("%s without a token: got %v, want %d", path, a, status)
		}
	}
}

// TestGuardForwards: the token is for the guard, unless it is to go on or nobody looks at it.
func TestGuardForwards(t *testing.T) {
	t.Parallel()
	app := mirror(t)
	good := token("alice", "a", "b")
	claims := []string{"--forward-claims", "sub,rooms,none"}
	secretless := usher(t, "guard", "--listen", "127.0.0.1:0", "--upstream", app)
	secretless.Env = nil
	for name, c := range map[string]struct {
		p     *program
		token bool
		who   bool
	}{
		"hidden":    {guardOf(t, app, claims...), false, true},
		"forwarded": {guardOf(t, app, append(claims, "--forward-token")...), true, true},
		"nobody's":  {start(t, secretless), true, false},
	} {
		for _, request := range [][]string{
			upgradeTo("/ws?a=1&token="+good, bearer(good), "Cookie: token="+good+"; b=2", "X-Usher-Subject: root", "X-Usher-Claim-Admin: 1", "Origin: http://chat.example"),
			get("/ws?a=1&token="+good, bearer(good), "Cookie: token="+good+"; b=2", "X-Usher-Subject: root", "X-Usher-Claim-Admin: 1"),
		} {
			a := ask(t, c.p.addr, head(request...))
			if n := strings.Count(a.body, good); a.status != 418 || c.token != (n == 3) || !c.token && n > 0 {
				t.Errorf("%s: got %v, with the token %d times", name, a, n)
			}
			for _, line := range []string{"X-Usher-Subject: [alice]", "X-Usher-Claim-Sub: [alice]", `X-Usher-Claim-Rooms: [["a","b"]]`} {
				if strings.Contains(a.body, line) != c.who {
					t.Errorf("%s: got %v, %s", name, a, line)
				}
			}
			if strings.Contains(a.body, "root") || strings.Contains(a.body, "Admin") || !strings.Contains(a.body, "?a=1") || !strings.Contains(a.body, "b=2") {
				t.Errorf("%s: got %v", name, a)
			}
		}
	}
}

// TestGuardBehindProxies: the application hears of a client what a proxy says that is trusted,
// and from others nothing.
func TestGuardBehindProxies(t *testing.T) {
	t.Parallel()
	app := mirror(t)
	for flags, want := range map[string][3]string{
		"--trusted-proxy 127.0.0.1": {"192.0.2.7", "https", "public.example"},
		"--trusted-proxy 10.0.0.1":  {"127.0.0.1", "http", "chat.example"},
	} {
		p := guardOf(t, app, append(strings.Fields(flags), "--public", "/{path...}")...)
		said := []string{"X-Forwarded-For: 198.51.100.1, 192.0.2.7", "X-Forwarded-Proto: https", "X-Forwarded-Host: public.example", "X-Real-IP: 198.51.100.1"}
		for _, request := range [][]string{upgradeTo("/", said...), get("/", said...)} {
			a := ask(t, p.addr, head(request...))
			for k, name := range []string{"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"} {
				if line := name + ": [" + want[k] + "]"; !strings.Contains(a.body, line) {
					t.Errorf("%s: got %v, want %s", flags, a, line)
				}
			}
			if strings.Contains(a.body, "198.51.100.1") {
				t.Errorf("%s: got %v", flags, a)
			}
		}
	}
}

// TestGuardReload: SIGHUP takes another secret, but neither begins nor ends to look at tokens.
func TestGuardReload(t *testing.T) {
	t.Parallel()
	app, dir := mirror(t), t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	first, second := write("a", strings.Repeat("a", 32)), write("b", strings.Repeat("b", 32))
	for _, c := range []struct{ before, after, logs string }{
		{"secret-file: " + first, "secret-file: " + second + "\njwks-grace: 1ns", `msg="the settings were read again"`},
		{"secret-file: " + first, "burst: 3", "from its start or not at all"},
		{"burst: 3", "secret-file: " + first, "from its start or not at all"},
	} {
		config := write("guard.yaml", "upstream: "+app+"\n"+c.before)
		cmd := usher(t, "guard", "--listen", "127.0.0.1:0", "--config", config)
		cmd.Env = nil
		p := start(t, cmd)
		statusBy := func(secret string) int {
			return ask(t, p.addr, head(upgradeTo("/", bearer(signed(secret)))...)).status
		}
		was := [2]int{statusBy("a"), statusBy("b")}
		write("guard.yaml", "upstream: "+app+"\n"+c.after)
		p.signal(t, syscall.SIGHUP)
		<-p.stderr.await(c.logs)
		is := [2]int{statusBy("a"), statusBy("b")}
		if changes := strings.Contains(c.after, second); changes && (was != [2]int{418, 401} || is != [2]int{401, 418}) || !changes && was != is {
			t.Errorf("%s, then %s: got %v, then %v", c.before, c.after, was, is)
		}
	}
}
