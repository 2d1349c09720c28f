//go:build linux

package main_test

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// fastAPI starts testdata/guard/fastapi_app.py on uvicorn at a socket, with the secret of the
// programs.
func fastAPI(t *testing.T, socket string) foreign {
	t.Helper()
	if exec.Command(debian, "-c", "import fastapi, uvicorn, websockets, jwt").Run() != nil {
		missing(t, "python3-fastapi", "not installed; see make deps")
	}
	cmd := exec.Command(debian, "-m", "uvicorn", "fastapi_app:app", "--uds", socket)
	cmd.Dir = guardDir
	cmd.Env = append(os.Environ(), "APP_SECRET="+secret, "PYTHONDONTWRITEBYTECODE=1")
	app, _ := launch(t, cmd, "running on unix socket")
	return app
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

// TestGuardFastAPI: users log in at an application and talk there through the guard, are refused,
// limited and sent home, and hear why; the application hears what becomes of them, dies, and comes
// back.
func TestGuardFastAPI(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "app")
	app := fastAPI(t, socket)
	p := guardOf(t, "unix:"+socket, "--path", "/ws/{room}", "--path", "/token", "--path", "/me", "--max-conns-per-user", "2",
		"--rate", "3/h", "--burst", "3", "--over-limit", "close", "--drain", "100ms", "--origin", "https://friend.example")
	if _, status := logIn(t, p.addr, "alice", "wrong"); status != 401 {
		t.Errorf("a wrong password: got %d", status)
	}
	alice, _ := logIn(t, p.addr, "alice", "wonderland")
	bob, _ := logIn(t, p.addr, "bob", "builder")
	a, b := guardTalk(t, p, alice, bob)
	all := heardBy(t, &a, &b)
	fastAPIRefusals(t, p, socket, alice, bob)

	c, _ := joinBriefly(t, p, "carol", "/ws/hall")
	all("carol has joined")
	c.want(opText, "carol has joined")
	c.wantClose(4401)
	all("carol has left with 1001")

	b.write(masked(opClose, "\x0f\xa0")) // 4000
	b.want(opClose, "\x0f\xa0")
	a.want(opText, "bob has left with 4000")
	b = join(t, p.addr, upgradeTo("/ws/hall", bearer(bob))...)
	all("bob has joined")
	for _, text := range []string{"one", "two", "three"} {
		b.write(masked(opText, text))
		all("bob: " + text)
	}
	b.write(masked(opText, "four"))
	b.wantClose(1008)
	a.want(opText, "bob has left with 1001")

	app.kill()
	a.wantClose(1014)
	got := ask(t, p.addr, head(upgradeTo("/ws/hall", bearer(alice))...))
	if flaws := flawsOfRefusal(got, http.MethodGet, 502); flaws != nil || got.code() != "upstream_unreachable" {
		t.Errorf("nobody there: got %v\n%s", got, strings.Join(flaws, "\n"))
	}
	fastAPI(t, socket)
	eventually(t, "the application is asked again", func() bool {
		a = dial(t, p.addr)
		a.write(head(upgradeTo("/ws/hall", bearer(alice))...))
		return a.answer().status == 101
	})
	a.want(opText, "alice has joined")

	p.signal(t, syscall.SIGTERM)
	if reason := a.wantCloseBehind(1001); !strings.HasPrefix(reason, "draining; retry-after-ms=") {
		t.Errorf("at the end: got %q", reason)
	}
	if code := p.exit(t, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// fastAPIRefusals: people hear why they cannot come in, where the application alone has one answer
// for everything; and whose a plain request is. Alice is in the hall.
func fastAPIRefusals(t *testing.T, p *program, socket, alice, bob string) {
	t.Helper()
	other := join(t, p.addr, upgradeTo("/ws/other", bearer(alice))...)
	defer other.conn.Close()
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
	alone, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer alone.Close()
	_, _ = alone.Write([]byte(head(upgradeTo("/ws/hall?token="+alice, "Sec-WebSocket-Protocol: bearer, x")...)))
	if got, err := http.ReadResponse(bufio.NewReader(alone), nil); err != nil || got.StatusCode != 403 || got.ContentLength > 0 {
		t.Errorf("the application alone: got %+v, %v, want a bare 403", got, err)
	}
	for _, c := range []struct{ line, user string }{{"X-A: b", "null"}, {bearer(alice), `"alice"`}, {bearer("x"), "null"}, {"X-Usher-Subject: root", "null"}} {
		if got := ask(t, p.addr, head(get("/me", c.line)...)); got.status != 200 || got.body != `{"user":`+c.user+`,"authorization":null}` {
			t.Errorf("GET /me, %.20s: got %v, want %s", c.line, got, c.user)
		}
	}
}
