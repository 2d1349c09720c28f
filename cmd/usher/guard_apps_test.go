//go:build linux

package main_test

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// A chat on each of three libraries, behind a guard. To each other they are the same: what differs
// is who wrote them.

// TestGuardNode: an application on Node's ws.
func TestGuardNode(t *testing.T) {
	t.Parallel()
	interpreter := node(t, "ws", "ws")
	node(t, "jsonwebtoken", "jsonwebtoken")
	modules, err := filepath.Abs(clientsDir)
	if err != nil {
		t.Fatal(err)
	}
	guardChat(t, func(socket string) *exec.Cmd {
		cmd := exec.Command(interpreter, "node_app.mjs", socket)
		cmd.Env = []string{"NODE_APP_MODULES=" + modules}
		return cmd
	})
}

// TestGuardGorilla: an application on gorilla.
func TestGuardGorilla(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	guardChat(t, func(socket string) *exec.Cmd {
		cmd := exec.Command(self)
		cmd.Env = []string{gorillaEnv + "=" + socket}
		return cmd
	})
}

// TestGuardPython: an application on Python's websockets.
func TestGuardPython(t *testing.T) {
	t.Parallel()
	interpreter := python(t)
	if exec.Command(interpreter, "-c", "import jwt").Run() != nil {
		missing(t, "python3-jwt", "not installed; see make deps")
	}
	guardChat(t, func(socket string) *exec.Cmd { return exec.Command(interpreter, "python_app.py", socket) })
}

// guardChat has people come to a chat, which listens on the socket that it is given, through a
// guard, and be refused, limited and sent home; and the chat die and come back.
func guardChat(t *testing.T, chat func(socket string) *exec.Cmd) {
	socket := filepath.Join(t.TempDir(), "chat")
	begin := func() foreign {
		cmd := chat(socket)
		cmd.Dir = guardDir
		cmd.Env = append(append(os.Environ(), "APP_SECRET="+secret), cmd.Env...)
		app, _ := launch(t, cmd, "listening")
		return app
	}
	app := begin()
	p := guardOf(t, "unix:"+socket, "--path", "/ws/{room}", "--path", "/token", "--path", "/{$}", "--max-conns-per-user", "2",
		"--rate", "3/h", "--burst", "3", "--over-limit", "close", "--drain", "100ms", "--origin", "https://friend.example")

	alice, bob := guardLogIns(t, p)
	a, b := guardTalk(t, p, alice, bob)
	all := heardBy(t, &a, &b)
	guardRefusals(t, p, alice, bob)

	c, _ := joinBriefly(t, p, "carol", "/ws/brief")
	c.want(opText, "carol has joined")
	c.wantClose(4401)
	<-app.await("carol has left with 1001")

	for _, text := range []string{"one", "two", "three"} {
		b.write(masked(opText, text))
		all("bob: " + text)
	}
	b.write(masked(opText, "four"))
	b.wantClose(1008)
	<-app.await("bob has left with 1001")
	a.want(opText, "bob has left")

	app.kill()
	a.wantClose(1014)
	got := ask(t, p.addr, head(upgradeTo("/ws/hall", bearer(alice))...))
	if flaws := flawsOfRefusal(got, http.MethodGet, 502); flaws != nil || got.code() != "upstream_unreachable" {
		t.Errorf("nobody there: got %v\n%s", got, strings.Join(flaws, "\n"))
	}
	app = begin()
	eventually(t, "the application is asked again", func() bool {
		a = dial(t, p.addr)
		a.write(head(upgradeTo("/ws/hall", bearer(alice))...))
		return a.answer().status == 101
	})
	a.want(opText, "alice has joined")

	dave := guardBrowser(t, p, a)
	p.signal(t, syscall.SIGTERM)
	if reason := a.wantCloseBehind(1001); !strings.HasPrefix(reason, "draining; retry-after-ms=") {
		t.Errorf("at the end: got %q", reason)
	}
	a.conn.Close()
	<-app.await("alice has left with 1001")
	if dave != nil {
		dave.sees("#heard", "closed 1001")
		<-app.await("bob has left with 1001")
	}
	if code := p.exit(t, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// joinBriefly has somebody come in with a token that ends soon, or later where the machine is slow.
func joinBriefly(t *testing.T, p *program, user, path string) (w *wire, exp time.Time) {
	t.Helper()
	for left := 2 * time.Second; ; left *= 2 {
		exp = time.Now().Add(left).Truncate(time.Second)
		soon := sign(jwt.SigningMethodHS256, jwt.MapClaims{"sub": user, "exp": exp.Unix()})
		w = dial(t, p.addr)
		w.write(head(upgradeTo(path, bearer(soon))...))
		switch got := w.answer(); {
		case got.status == 101:
			return w, exp
		case got.code() != "token_expired" || left > patience:
			t.Fatalf("%s: got %v, want 101", user, got)
		}
	}
}

// guardTalk has two in a hall of the application talk, one with its token in the query, one in the
// subprotocol.
func guardTalk(t *testing.T, p *program, alice, bob string) (a, b *wire) {
	t.Helper()
	a = join(t, p.addr, upgradeTo("/ws/hall?token="+alice)...)
	a.want(opText, "alice has joined")
	b = dial(t, p.addr)
	b.write(head(upgradeTo("/ws/hall", "Sec-WebSocket-Protocol: bearer, "+bob)...))
	if got := b.answer(); got.status != 101 || strings.Join(got.values("Sec-WebSocket-Protocol"), " ") != "bearer" {
		t.Fatalf("got %v, want 101 with bearer", got)
	}
	all := heardBy(t, &a, &b)
	all("bob has joined")
	a.write(masked(opText, "hello"))
	all("alice: hello")
	return a, b
}

// heardBy returns a function that wants a text to be heard by whoever the two are by then.
func heardBy(t *testing.T, a, b **wire) func(text string) {
	return func(text string) {
		t.Helper()
		(*a).want(opText, text)
		(*b).want(opText, text)
	}
}

// guardLogIns logs both people in, at the application.
func guardLogIns(t *testing.T, p *program) (alice, bob string) {
	t.Helper()
	logIn := func(user, password string) (body string, status int) {
		r, err := http.NewRequest(http.MethodGet, "http://"+p.addr+"/token", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.SetBasicAuth(user, password)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b)), resp.StatusCode
	}
	if body, status := logIn("alice", "wrong"); status != 401 || body != "wrong name or password" {
		t.Errorf("a wrong password: got %d %q", status, body)
	}
	alice, _ = logIn("alice", "wonderland")
	bob, _ = logIn("bob", "builder")
	return alice, bob
}

// guardRefusals: people hear why they cannot come in, from the guard, and from the application.
// Alice is in the hall.
func guardRefusals(t *testing.T, p *program, alice, bob string) {
	t.Helper()
	join(t, p.addr, upgradeTo("/ws/other", bearer(alice))...).want(opText, "alice has joined")
	for _, c := range []struct {
		request []string
		status  int
		code    string
	}{
		{upgradeTo("/ws/hall"), 401, "token_missing"},
		{upgradeTo("/ws/hall?token=x"), 401, "token_invalid"},
		{upgradeTo("/ws/hall", "Origin: https://evil.example", bearer(bob)), 403, "origin_not_allowed"},
		{upgradeTo("/nowhere", bearer(bob)), 404, "not_found"},
		{upgradeTo("/ws/hall", bearer(alice)), 429, "too_many_requests"},
	} {
		got := ask(t, p.addr, head(c.request...))
		if flaws := flawsOfRefusal(got, http.MethodGet, c.status); flaws != nil || got.code() != c.code {
			t.Errorf("%q: got %v, want %d %s\n%s", c.request[0], got, c.status, c.code, strings.Join(flaws, "\n"))
		}
	}
	if got := ask(t, p.addr, head(upgradeTo("/ws/private", bearer(bob))...)); got.status != 403 || got.body != "members only" || got.err != nil {
		t.Errorf("a room for members: got %v, want the application's 403", got)
	}
}

// guardBrowser has a page of the application log in as bob and talk to a, in Chromium, which can
// send a token in one way only. It is nil where there is no Chromium.
func guardBrowser(t *testing.T, p *program, a *wire) (dave *person) {
	t.Helper()
	if _, err := exec.LookPath("chromium"); err != nil && os.Getenv("CI") == "" {
		return nil
	}
	page := newBrowser(t).comes("dave", p, nil)
	var status int
	page.do("dave", "evaluate", &status, "enter('bob', 'wrong')")
	if status != 401 {
		t.Errorf("a wrong password: got %d in the page", status)
	}
	var agreed string
	page.do("dave", "evaluate", &agreed, "enter('bob', 'builder')")
	if want := "bearer permessage-deflate"; agreed != want {
		t.Errorf("the page has agreed on %q, want %q", agreed, want)
	}
	a.want(opText, "bob has joined")
	page.do("dave", "evaluate", nil, "say('hi')")
	a.want(opText, "bob: hi")
	page.sees("#heard", "bob has joined;bob: hi;")
	return &page
}
