//go:build linux

package main_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
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

// TestGuardAccessLog: with --access-log a plain request has a line, without a token in it, whether
// the application has answered or the guard.
func TestGuardAccessLog(t *testing.T) {
	t.Parallel()
	p := guardOf(t, mirror(t), "--access-log", "--log-format", "json", "--path", "/app/")
	good := token("alice")
	ask(t, p.addr, head("POST /app/x?token="+good+"&q=1 HTTP/1.1", "Host: a", "Content-Length: 0"))
	down := guardOf(t, "http://127.0.0.1:9", "--access-log", "--log-format", "json")
	ask(t, down.addr, head(get("/app", "Cookie: token="+good)...))
	hangs := guardOf(t, upstream(t, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"), "--access-log", "--log-format", "json")
	ask(t, hangs.addr, head(get("/")...))
	for _, c := range []struct {
		p     *program
		msg   string
		parts []string
	}{
		{p, "answered", []string{`"route":"/app/{rest...}","request":"POST /app/x?`, `"remote":"127.0.0.1:`, `"user":"alice","upstream":"http://127.0.0.1:`, `"status":418,"duration":`, `"bytes":`}},
		{down, "refused", []string{`"request":"GET /app","remote":"127.0.0.1:`, `"user":"alice"`, `"status":502,"code":"upstream_unreachable","duration":`}},
		{hangs, "answered", []string{`"status":200`, `"bytes":4,"reason":"cut short"`}},
	} {
		select {
		case line := <-c.p.stderr.await(`"msg":"` + c.msg + `"`):
			for _, part := range c.parts {
				if !strings.Contains(line, part) {
					t.Errorf("got %s, want %s", line, part)
				}
			}
			if strings.Contains(line, good[:20]) {
				t.Errorf("a token is in %s", line)
			}
		case <-time.After(patience):
			t.Errorf("no line with %q in %s", c.msg, c.p.stderr)
		}
	}
}
