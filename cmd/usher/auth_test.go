//go:build linux

package main_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// debian is the Python of Debian's packages.
const debian = "/usr/bin/python3"

// authService starts testdata/clients/auth_service.py, and returns its URL.
func authService(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat(debian); err != nil {
		missing(t, "python3", "not installed; see make deps")
	}
	cmd := exec.Command(debian, "auth_service.py")
	cmd.Dir = clientsDir
	return foreignService(t, cmd)
}

// foreignService starts a program that prints where it listens, and returns its URL. It runs until
// the end of the test.
func foreignService(t *testing.T, cmd *exec.Cmd) (url string) {
	t.Helper()
	_, line := launch(t, cmd, "http://")
	_, url, _ = strings.Cut(line, "http://")
	return "http://" + strings.Fields(url)[0]
}

// foreign is a program that others wrote, and what it says.
type foreign struct {
	*transcript
	kill func() // returns when it is gone
}

// launch starts a program and waits for its line with part in it. It runs until the end of the
// test, or until it is killed.
func launch(t *testing.T, cmd *exec.Cmd, part string) (f foreign, line string) {
	t.Helper()
	out := newTranscript()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	var end error
	go func() {
		end = cmd.Wait()
		close(gone)
	}()
	f = foreign{out, func() {
		_ = cmd.Process.Kill()
		<-gone
	}}
	t.Cleanup(f.kill)
	select {
	case line = <-out.await(part):
	case <-gone:
		t.Fatalf("%s: %v\n%s", cmd, end, out)
	}
	return f, line
}

// serveAuth serves with --auth-url and without a secret.
func serveAuth(t *testing.T, url string, flags ...string) (p *program, base string) {
	t.Helper()
	cmd := usher(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--auth-url", url, "--echo-auth", "/auth"}, flags...)...)
	cmd.Env = []string{"PATH=/bin"}
	p = start(t, cmd)
	_, base, _ = strings.Cut(strings.TrimSpace(<-p.stdout.await("admin on ")), "admin on ")
	return p, base
}

// TestAuthURL: what becomes of the answers of a service, good and bad, another process across
// a socket.
func TestAuthURL(t *testing.T) {
	t.Parallel()
	service := authService(t)
	p, base := serveAuth(t, service+"/auth", "--handshake-timeout", "3s", "--rooms", "lobby")
	for _, c := range []struct {
		do     string
		status int
		code   string
		says   string // in the answer
	}{
		{"admit", 101, "", ""},
		{"close", 101, "", ""},
		{"close", 101, "", ""},
		{"hints", 101, "", ""},
		{"huge_admit", 101, "", ""},
		{"nobody", 403, "name_forbidden", "without a name"},
		{"server", 403, "name_forbidden", ""},
		{"login", 401, "", "WWW-Authenticate: Basic realm=\"hall\"|Content-Type: text/html|<p>Log in"},
		{"forbid", 403, "no_seat", `"Sold out."`},
		{"busy", 429, "too_many_requests", "Retry-After: 77"},
		{"huge", 403, "forbidden", "application/problem+json"},
		{"inject", 503, "unavailable", ""},
		{"inject_bare", 403, "forbidden", "WWW-Authenticate: a\n"},
		{"redirect", 503, "unavailable", ""},
		{"fail", 503, "unavailable", ""},
		{"twice", 503, "unavailable", ""},
		{"long_head", 503, "unavailable", ""},
		{"endless_hints", 503, "unavailable", ""},
		{"garbage", 503, "unavailable", ""},
		{"half", 503, "unavailable", ""},
		{"switch", 503, "unavailable", ""},
		{"reset", 503, "unavailable", ""},
		{"drip", 503, "unavailable", ""},
		{"silent", 503, "unavailable", ""},
	} {
		a := ask(t, p.addr, head(upgradeTo("/ws/lobby?do="+c.do)...))
		if a.err != nil || a.status != c.status || c.code != "" && a.code() != c.code {
			t.Errorf("%s: got %v, want %d %s", c.do, a, c.status, c.code)
			continue
		}
		all := strings.Join(append(a.lines, "", a.body), "\n")
		for _, part := range strings.Split(c.says, "|") {
			if !strings.Contains(all, part) {
				t.Errorf("%s: no %q in\n%s", c.do, part, all)
			}
		}
		if c.status == 503 && len(a.values("Retry-After")) != 1 {
			t.Errorf("%s: no Retry-After in %v", c.do, a)
		}
		if c.status != 101 && (len(a.body) >= 1024 || len(a.values("Set-Cookie"))+len(a.values("X-Evil")) > 0 || strings.Contains(all, "auth.py") ||
			fmt.Sprint(a.values("Content-Length")) != fmt.Sprint([]int{len(a.body)}) || fmt.Sprint(a.values("Cache-Control")) != "[no-store]") {
			t.Errorf("%s: %v", c.do, a)
		}
	}
	// A room that is not there is row 10, a key row 7; nobody was asked.
	for path, want := range map[string]int{"/ws/none?do=unasked": 404, "/auth?do=nobody": 101, "/token": 404, "/ticket": 404} {
		if a := ask(t, p.addr, head(upgradeTo(path)...)); a.status != want {
			t.Errorf("%s: got %v, want %d", path, a, want)
		}
	}
	if a := ask(t, p.addr, head(get("/ws/lobby?do=admit", "Accept: application/problem+json")...)); a.status != 200 || a.code() != "ok" {
		t.Errorf("a probe: got %v", a)
	}
	if n := count(t, service, "unasked"); n != "0" {
		t.Errorf("asked %s times about a room that is not there", n)
	}
	// The name is the one that the service gave.
	w := join(t, p.addr, upgradeTo("/ws/lobby?do=admit")...)
	w.want(opText, "Server: alice has joined the chat")
	got := scrape(t, base)
	for series, least := range map[string]int{
		`usher_auth_questions_total{verdict="admitted"}`: 8, `usher_auth_questions_total{verdict="refused"}`: 5, `usher_auth_questions_total{verdict="failed"}`: 10,
	} {
		if got[series] < least {
			t.Errorf("%s: got %d, want %d", series, got[series], least)
		}
	}
	if !strings.Contains(p.stderr.String(), "the service did not decide") {
		t.Error("the log says nothing of a service that fails")
	}
}

// count returns how often a service was asked about something.
func count(t *testing.T, service, do string) string {
	t.Helper()
	_, n := fetchPage(t, service+"/count?do="+do)
	return n
}

// TestAuthURLRemembers: a verdict is for the same question, as long as the service says.
func TestAuthURLRemembers(t *testing.T) {
	t.Parallel()
	service := authService(t)
	p, base := serveAuth(t, service)
	knock := func(do string, want int, more ...string) {
		t.Helper()
		if a := ask(t, p.addr, head(upgradeTo("/auth?do="+do, more...)...)); a.status != want {
			t.Errorf("%s: got %v, want %d", do, a, want)
		}
	}
	for range 3 {
		for do, status := range map[string]int{"remember": 101, "admit": 101, "private": 101, "forbid_remembered": 403, "busy": 429} {
			knock(do, status)
		}
	}
	for do, want := range map[string]string{"remember": "1", "admit": "3", "private": "3", "forbid_remembered": "1", "busy": "3"} {
		if n := count(t, service, do); n != want {
			t.Errorf("%s: asked %s times, want %s", do, n, want)
		}
	}
	for range 2 {
		for _, line := range []string{"Authorization: Bearer a", "Authorization: Bearer b", "Cookie: a=b", "Cookie: a=c", "Sec-WebSocket-Protocol: bearer, c"} {
			knock("remember", 101, line)
		}
	}
	if n := count(t, service, "remember"); n != "6" {
		t.Errorf("with five credentials and none: asked %s times, want 6", n)
	}
	if got := scrape(t, base); got["usher_auth_remembered_total"] != 9 || got["usher_auth_verdicts"] != 7 {
		t.Errorf("got %v", got)
	}
}

// TestAuthURLWithTokens: a token is judged first; then the service is told whose it is.
func TestAuthURLWithTokens(t *testing.T) {
	t.Parallel()
	told := make(chan string, 1)
	web := http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		told <- r.Header.Get("X-Usher-Sub")
		if r.Header.Get("X-Usher-Sub") == "mallory" {
			w.WriteHeader(http.StatusForbidden)
		}
	})}
	p := serve(t, "--auth-url", "http://"+listenHTTP(t, &web), "--echo-auth", "/auth")
	if a := ask(t, p.addr, head(upgradeTo("/auth", bearer("letmein"))...)); a.status != 401 || a.code() != "token_invalid" {
		t.Errorf("a bad token: %v", a)
	}
	if a := ask(t, p.addr, head(upgradeTo("/auth", "X-Usher-Sub: alice")...)); a.status != 401 || a.code() != "token_missing" {
		t.Errorf("no token: %v", a)
	}
	for user, want := range map[string]int{"alice": 101, "mallory": 403} {
		if a := ask(t, p.addr, head(upgradeTo("/ws/lobby", bearer(token(user)), "X-Usher-Sub: root")...)); a.status != want {
			t.Errorf("%s: got %v, want %d", user, a, want)
		}
		if who := <-told; who != user {
			t.Errorf("the service was told %q, want %q", who, user)
		}
	}
}

// listenHTTP serves until the end of the test, and returns the address.
func listenHTTP(t *testing.T, web *http.Server) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = web.Serve(ln) }()
	t.Cleanup(func() { web.Close(); <-done })
	return ln.Addr().String()
}

// TestSlowAuthHurtsNobody: while a service answers nobody, those who are in are served, and so
// are those whose verdict is remembered; the others are told to come back, in bounded number.
func TestSlowAuthHurtsNobody(t *testing.T) {
	t.Parallel()
	service := authService(t)
	p, _ := serveAuth(t, service, "--echo", "/echo", "--loops", "1", "--handshake-timeout", "30m")
	w := join(t, p.addr, upgradeTo("/auth?do=remember")...)
	const flood = 600
	var all sync.WaitGroup
	var mu sync.Mutex
	statuses := make(map[int]int)
	for range flood {
		one := dial(t, p.addr)
		one.write(head(upgradeTo("/auth?do=silent")...))
		all.Go(func() {
			a := one.answer()
			mu.Lock()
			defer mu.Unlock()
			statuses[a.status]++
		})
	}
	for range 50 {
		w.write(masked(opText, "hi"))
		w.want(opText, "hi")
		join(t, p.addr, upgradeTo("/auth?do=remember")...)
	}
	all.Wait()
	if statuses[503] != flood {
		t.Errorf("got %v, want %d times 503", statuses, flood)
	}
}

// TestAuthDocument: the service in docs/AUTH.md works as it is.
func TestAuthDocument(t *testing.T) {
	t.Parallel()
	if exec.Command(debian, "-c", "import fastapi, uvicorn").Run() != nil {
		missing(t, "python3-fastapi", "not installed; see make deps")
	}
	text, err := os.ReadFile("../../docs/AUTH.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(text), "```python\n")
	code, _, ok := strings.Cut(code, "```\n")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "auth.py"), []byte(code), 0o600); err != nil || !ok {
		t.Fatal(err)
	}
	cmd := exec.Command(debian, "-m", "uvicorn", "auth:app", "--port", "0")
	cmd.Dir = dir
	p, _ := serveAuth(t, foreignService(t, cmd)+"/auth")
	for _, c := range []struct {
		line string
		want int
	}{
		{"Cookie: session=7f3a91", 101}, {"Authorization: Bearer 7f3a91", 101}, {"Sec-WebSocket-Protocol: bearer, 7f3a91", 101},
		{"Cookie: session=x", 401}, {"X-A: b", 401},
	} {
		a := ask(t, p.addr, head(upgradeTo("/ws/lobby", c.line)...))
		if a.status != c.want || c.want == 401 && a.body != `{"detail":"Log in first."}` {
			t.Errorf("%s: got %v, want %d", c.line, a, c.want)
		}
	}
}
