//go:build linux

package main_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// What stands in front of applications that others wrote.

const guardDir = "testdata/guard"

// guardOf starts `usher guard` in front of an application, with the flags, on a port of its own
// choice. It is in all else as serve.
func guardOf(t testing.TB, upstream string, flags ...string) *program {
	t.Helper()
	args := []string{"guard", "--listen", "127.0.0.1:0", "--upstream", upstream}
	for name, value := range map[string]string{"--ping-interval": "0", "--idle-timeout": "10m"} {
		if !slices.Contains(flags, name) {
			args = append(args, name, value)
		}
	}
	return start(t, usher(t, append(args, flags...)...))
}

// fastAPI starts testdata/guard/fastapi_app.py on uvicorn, with the secret of the programs, and
// returns its URL.
func fastAPI(t *testing.T) string {
	t.Helper()
	if exec.Command(debian, "-c", "import fastapi, uvicorn, websockets, jwt").Run() != nil {
		missing(t, "python3-fastapi", "not installed; see make deps")
	}
	cmd := exec.Command(debian, "-m", "uvicorn", "fastapi_app:app", "--port", "0")
	cmd.Dir = guardDir
	cmd.Env = append(os.Environ(), "APP_SECRET="+secret, "PYTHONDONTWRITEBYTECODE=1")
	return foreignService(t, cmd)
}

// logIn returns the token that an application's POST /token gives, and the status.
func logIn(t *testing.T, addr, user, password string) (token string, status int) {
	t.Helper()
	body, _ := json.Marshal(map[string]string{"username": user, "password": password})
	resp, err := http.Post("http://"+addr+"/token", "application/json", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var grant struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&grant); err != nil {
		t.Fatal(err)
	}
	return grant.Token, resp.StatusCode
}

// TestGuardFastAPI: users log in at an application and talk there through the guard, and hear why
// when they cannot; and the application hears what becomes of them.
func TestGuardFastAPI(t *testing.T) {
	t.Parallel()
	app := fastAPI(t)
	p := guardOf(t, app, "--path", "/ws/{room}", "--path", "/token", "--path", "/me", "--max-conns-per-user", "2", "--drain", "100ms", "--origin", "https://friend.example")
	if _, status := logIn(t, p.addr, "alice", "wrong"); status != 401 {
		t.Errorf("a wrong password: got %d", status)
	}
	alice, _ := logIn(t, p.addr, "alice", "wonderland")
	bob, _ := logIn(t, p.addr, "bob", "builder")

	a := join(t, p.addr, upgradeTo("/ws/hall?token="+alice)...)
	a.want(opText, "alice has joined")
	b := dial(t, p.addr)
	b.write(head(upgradeTo("/ws/hall", "Sec-WebSocket-Protocol: bearer, "+bob)...))
	if got := b.answer(); got.status != 101 || strings.Join(got.values("Sec-WebSocket-Protocol"), " ") != "bearer" {
		t.Fatalf("got %v, want 101 with bearer", got)
	}
	for _, w := range []*wire{a, b} {
		w.want(opText, "bob has joined")
	}
	a.write(masked(opText, "hello"))
	for _, w := range []*wire{a, b} {
		w.want(opText, "alice: hello")
	}

	other := join(t, p.addr, upgradeTo("/ws/other", bearer(alice))...)
	other.want(opText, "alice has joined")
	for _, c := range []struct {
		request []string
		status  int
		code    string // "" for the application's own answer
	}{
		{upgradeTo("/ws/hall"), 401, "token_missing"},
		{upgradeTo("/ws/hall?token=x"), 401, "token_invalid"},
		{upgradeTo("/ws/hall", "Origin: https://evil.example", bearer(bob)), 403, "origin_not_allowed"},
		{upgradeTo("/ws/private", bearer(bob)), 403, ""},
		{upgradeTo("/nowhere", bearer(bob)), 404, "not_found"},
		{upgradeTo("/ws/hall", bearer(alice)), 429, "too_many_requests"},
	} {
		got := ask(t, p.addr, head(c.request...))
		if c.code == "" {
			if got.status != c.status || got.body != "" || got.err != nil {
				t.Errorf("%q: got %v, want the application's bare %d", c.request[0], got, c.status)
			}
			continue
		}
		if flaws := flawsOfRefusal(got, http.MethodGet, c.status); flaws != nil || got.code() != c.code {
			t.Errorf("%q: got %v, want %d %s\n%s", c.request[0], got, c.status, c.code, strings.Join(flaws, "\n"))
		}
	}
	if got := ask(t, strings.TrimPrefix(app, "http://"), head(upgradeTo("/ws/hall?token="+alice, "Sec-WebSocket-Protocol: bearer, x")...)); got.status != 403 || got.body != "" {
		t.Errorf("the application alone: got %v, want a bare 403", got)
	}

	for _, c := range []struct{ line, user string }{{"X-A: b", "null"}, {bearer(alice), `"alice"`}, {bearer("x"), "null"}, {"X-Usher-Subject: root", "null"}} {
		if got := ask(t, p.addr, head(get("/me", c.line)...)); got.status != 200 || got.body != `{"user":`+c.user+`,"authorization":null}` {
			t.Errorf("GET /me, %.20s: got %v, want %s", c.line, got, c.user)
		}
	}

	b.write(masked(opClose, "\x0f\xa0")) // 4000
	b.want(opClose, "\x0f\xa0")
	a.want(opText, "bob has left with 4000")
	p.signal(t, syscall.SIGTERM)
	if reason := a.wantClose(1001); !strings.HasPrefix(reason, "draining; retry-after-ms=") {
		t.Errorf("at the end: got %q", reason)
	}
	if code := p.exit(t, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestGuardGreeting: a guard says what it is in front of, and so if it looks at no tokens.
func TestGuardGreeting(t *testing.T) {
	t.Parallel()
	const nobody = "authenticates nobody"
	for flags, want := range map[string]bool{"": true, "--auth-url http://127.0.0.1:9/": false} {
		cmd := usher(t, append([]string{"guard", "--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:9"}, strings.Fields(flags)...)...)
		cmd.Env = nil
		p := start(t, cmd)
		<-p.stdout.await("in front of http://127.0.0.1:9")
		p.signal(t, syscall.SIGTERM)
		p.exit(t, patience)
		if said := p.stdout.String(); strings.Contains(said, nobody) != want {
			t.Errorf("%q: got %s", flags, said)
		}
	}
	if p := guardOf(t, "http://127.0.0.1:9"); strings.Contains(p.stdout.String(), nobody) {
		t.Errorf("with a secret: got %s", p.stdout)
	}
}

// TestGuardDocument: the applications in docs/GUARD.md work as they are, behind a guard.
func TestGuardDocument(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/GUARD.md")
	if err != nil {
		t.Fatal(err)
	}
	block := func(language string) string {
		_, code, _ := strings.Cut(string(text), "```"+language+"\n")
		code, _, ok := strings.Cut(code, "```\n")
		if !ok {
			t.Fatalf("docs/GUARD.md has no %s", language)
		}
		return code
	}
	t.Run("fastapi", func(t *testing.T) {
		if exec.Command(debian, "-c", "import fastapi, uvicorn, websockets").Run() != nil {
			missing(t, "python3-fastapi", "not installed; see make deps")
		}
		cmd := exec.Command(debian, "-m", "uvicorn", "app:app", "--port", "0")
		cmd.Dir = t.TempDir()
		if err := os.WriteFile(filepath.Join(cmd.Dir, "app.py"), []byte(block("python")), 0o600); err != nil {
			t.Fatal(err)
		}
		w := join(t, guardOf(t, foreignService(t, cmd)).addr, upgradeTo("/ws/hall", bearer(token("Zoë")))...)
		w.write(masked(opText, "hi"))
		w.want(opText, "Zoë in hall: hi")
	})
	t.Run("node", func(t *testing.T) {
		interpreter := node(t, "ws", "ws")
		code := strings.Replace(block("js"), "port: 8000", "port: 0", 1) +
			"server.on('listening', () => console.log(`http://127.0.0.1:${server.address().port}`))\n"
		cmd := exec.Command(interpreter, "--input-type=module", "--eval", code)
		cmd.Dir = clientsDir // where its modules are
		w := join(t, guardOf(t, foreignService(t, cmd)).addr, upgradeTo("/anywhere?token="+token("Zoë"))...)
		w.write(masked(opText, "hi"))
		w.want(opText, "Zoë: hi")
	})
}

// TestGuardSettings: what the flags say of messages holds in front of another server, which here
// is usher's echo.
func TestGuardSettings(t *testing.T) {
	t.Parallel()
	app := serve(t, "--echo", "/echo")
	behind := func(flags ...string) *wire {
		return join(t, guardOf(t, "http://"+app.addr, append(flags, "--public", "/{path...}")...).addr, upgradeTo("/echo")...)
	}
	once := []string{"--rate", "1/h", "--burst", "1", "--over-limit"}

	w := behind()
	w.write(masked(opText, "\xff"), masked(opText, "never"))
	w.wantClose(1007) // the application's

	w = behind("--check-utf8")
	w.write(masked(opText, "\xff"))
	w.wantClose(1007)

	w = behind("--max-message", "10")
	w.write(masked(opText, "0123456789"))
	w.want(opText, "0123456789")
	w.write(masked(opText, "01234567890"))
	w.wantClose(1009)

	w = behind("--max-lifetime", "300ms")
	if reason := w.wantClose(1001); reason != "max_lifetime" {
		t.Errorf("its time is over: got %q", reason)
	}

	w = behind(append(once, "close")...)
	w.write(masked(opText, "a"))
	w.want(opText, "a")
	w.write(masked(opText, "b"))
	if reason := w.wantClose(1008); !strings.HasPrefix(reason, "messages_limit; retry-after-ms=") {
		t.Errorf("over the limit: got %q", reason)
	}

	w = behind(append(once, "drop")...)
	w.write(masked(opText, "a"), masked(opText, "b"), masked(opClose, "\x03\xe8"))
	w.want(opText, "a")
	w.want(opClose, "\x03\xe8")

	w = behind(append(once, "warn", "--warn-text", "Slow down.")...)
	w.write(masked(opText, "a"), masked(opText, "b"))
	var got []string
	for range 2 {
		f, err := w.next()
		if err != nil || f.op != opText {
			t.Fatalf("got %v, %v", f, err)
		}
		got = append(got, f.payload)
	}
	slices.Sort(got)
	if !slices.Equal(got, []string{"Slow down.", "a"}) {
		t.Errorf("over the limit: got %q", got)
	}
}

// TestGuardAdmin: /readyz says whether there is an application, and /metrics what is known of it.
func TestGuardAdmin(t *testing.T) {
	t.Parallel()
	for upstream, want := range map[string]int{mirror(t): 200, "http://127.0.0.1:9": 503} {
		p := guardOf(t, upstream, "--admin", "127.0.0.1:0", "--public", "/{path...}")
		_, admin, _ := strings.Cut(strings.TrimSpace(<-p.stdout.await("admin on ")), "admin on ")
		ask(t, p.addr, head(upgradeTo("/")...))
		eventually(t, "/readyz", func() bool {
			resp, err := http.Get(admin + "/readyz")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			return resp.StatusCode == want
		})
		series := scrape(t, admin)
		if up := series[`usher_upstream_up{upstream="`+upstream+`"}`]; (up == 1) != (want == 200) {
			t.Errorf("%s: up is %d", upstream, up)
		}
		if n := series[`usher_refusals_total{code="upstream",route="/{path...}"}`]; (n == 1) != (want == 200) {
			t.Errorf("%s: %d refusals of the application are counted", upstream, n)
		}
	}
}
