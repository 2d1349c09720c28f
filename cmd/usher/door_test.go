//go:build linux

package main_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// posted is a POST with a body, in lines.
func posted(path, body string, headers ...string) string {
	return head(append([]string{"POST " + path + " HTTP/1.1", "Host: chat.example", fmt.Sprintf("Content-Length: %d", len(body))}, headers...)...) + body
}

const loginForm = "Content-Type: application/x-www-form-urlencoded"

// TestAnyOrigin: "*" lets in any Origin. One that is not scheme://host is written into no
// answer, and "*" does not make a cookie count.
func TestAnyOrigin(t *testing.T) {
	t.Parallel()
	p := serve(t, "--echo", "/echo", "--echo-auth", "/auth", "--origin", "*")
	for _, origin := range []string{
		"null", "file://", "https://chat.example/", "https://evil.example", "https://evil.example/x", "chrome-extension://abcdefgh",
		"moz-extension://a-b", "capacitor://localhost", "evil.example", "https://evil.example:", "\"<x>\"", "",
	} {
		if a := ask(t, p.addr, head(upgradeTo("/echo", "Origin: "+origin)...)); a.status != 101 {
			t.Errorf("%q: got %s, want 101", origin, a)
		}
		a := ask(t, p.addr, head(get("/echo", probe, "Origin: "+origin)...))
		scheme, host, _ := strings.Cut(origin, "://")
		var want []string
		if scheme != "" && host != "" && !strings.ContainsAny(host, "/") && !strings.HasSuffix(host, ":") {
			want = []string{origin}
		}
		if got := a.values("Access-Control-Allow-Origin"); a.status != 200 || !slices.Equal(got, want) || a.values("Access-Control-Allow-Credentials") != nil {
			t.Errorf("a probe of %q: got %s, want to be shown to %q without credentials", origin, a, want)
		}
		if a := ask(t, p.addr, head(upgradeTo("/auth", "Origin: "+origin, "Cookie: token="+token("alice"))...)); a.status != 403 {
			t.Errorf("%q and a cookie: got %s, want 403", origin, a)
		}
		if a := ask(t, p.addr, head(upgradeTo("/auth", "Origin: "+origin, bearer(token("alice")))...)); a.status != 101 {
			t.Errorf("%q and a token: got %s, want 101", origin, a)
		}
	}
}

// TestNamedOrigins: an Origin that is not a host can be listed by its name, and it alone is
// let in then.
func TestNamedOrigins(t *testing.T) {
	t.Parallel()
	named := []string{"null", "file://", "chrome-extension://abcdefgh"}
	for _, name := range named {
		p := serve(t, "--echo", "/echo", "--origin", name)
		for _, origin := range append(named, "https://evil.example", name+"/") {
			want := 403
			if origin == name {
				want = 101
			}
			if a := ask(t, p.addr, head(upgradeTo("/echo", "Origin: "+origin)...)); a.status != want {
				t.Errorf("--origin %s: %q: got %s, want %d", name, origin, a, want)
			}
		}
	}
}

// TestPagesLogIn: the page of a listed origin asks before, logs in, gets a ticket,
// connects, and reads every refusal; a form of any other site is 403.
func TestPagesLogIn(t *testing.T) {
	t.Parallel()
	p := serve(t, "--origin", "https://friend.example", "--users", htpasswd(t))
	const friend = "Origin: https://friend.example"
	shown := func(what string, a answer, status int) {
		t.Helper()
		if a.status != status || !slices.Equal(a.values("Access-Control-Allow-Origin"), []string{"https://friend.example"}) || !slices.Contains(a.values("Vary"), "Origin") {
			t.Errorf("%s: got %s, want %d to be read", what, a, status)
		}
	}
	for _, path := range []string{"/token", "/ticket", "/", "/ws/lobby"} {
		a := ask(t, p.addr, head("OPTIONS "+path+" HTTP/1.1", "Host: chat.example", friend,
			"Access-Control-Request-Method: POST", "Access-Control-Request-Headers: authorization,content-type"))
		shown("OPTIONS "+path, a, 204)
		if got := strings.Join(a.values("Access-Control-Allow-Headers"), ","); !strings.Contains(got, "Content-Type") || !strings.Contains(got, "Authorization") {
			t.Errorf("OPTIONS %s: takes %q", path, got)
		}
	}
	shown("a log-in", ask(t, p.addr, posted("/token", "username=alice&password=correct horse", friend, loginForm)), 200)
	shown("a wrong password", ask(t, p.addr, posted("/token", "username=alice&password=x", friend, loginForm)), 401)
	shown("no ticket", ask(t, p.addr, posted("/ticket", "", friend)), 401)
	shown("a ticket", ask(t, p.addr, posted("/ticket", "", friend, bearer(token("alice")))), 200)
	shown("a probe", ask(t, p.addr, head(get("/ws/lobby", probe, friend)...)), 401)
	for _, lines := range [][]string{
		{"Origin: https://evil.example", loginForm}, {"Origin: null", loginForm}, {"Origin: http://friend.example", loginForm},
		{"Origin: https://evil.example", "Content-Type: text/plain"}, {"Sec-Fetch-Site: cross-site", loginForm},
	} {
		a := ask(t, p.addr, posted("/token", "username=alice&password=correct horse", lines...))
		if a.status != 403 || a.code() != "origin_not_allowed" || a.values("Access-Control-Allow-Origin") != nil {
			t.Errorf("%q: got %s, want 403 origin_not_allowed", lines, a)
		}
	}
	if a := ask(t, p.addr, posted("/token", "username=alice&password=correct horse", "Origin: https://chat.example", loginForm)); a.status != 200 {
		t.Errorf("the same host: got %s", a)
	}
}

func htpasswd(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte(htpasswdFile), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestOriginsAreLogged: the log tells of an origin once, by whichever way its pages come,
// with the flag that lets it in; and that flag does.
func TestOriginsAreLogged(t *testing.T) {
	t.Parallel()
	for origin, flag := range map[string]string{
		"https://one.example": "--origin https://one.example", "null": "--origin null", "http://[::1]:3000": "--origin 'http://[::1]:3000'",
	} {
		p := serve(t, "--echo", "/echo")
		for range 5 {
			ask(t, p.addr, head(upgradeTo("/echo", "Origin: "+origin)...))
			ask(t, p.addr, head(get("/ws/lobby", probe, "Origin: "+origin)...))
			ask(t, p.addr, posted("/token", "username=x&password=y", loginForm, "Origin: "+origin))
		}
		ask(t, p.addr, head(upgradeTo("/echo", `Origin: x" level=WHAT`)...))
		<-p.stderr.await(`level=WHAT`) // quoted, and behind all that was said before
		if said := p.stderr.String(); strings.Count(said, `flag="`+flag+`"`) != 1 || strings.Count(said, "\n") != 2 {
			t.Errorf("got %q, want one line with %s", said, flag)
		}
		p.signal(t, 15)
		p.exit(t, patience)
		p = serve(t, "--echo", "/echo", strings.Fields(flag)[0], strings.Trim(strings.Fields(flag)[1], "'"))
		if a := ask(t, p.addr, head(upgradeTo("/echo", "Origin: "+origin)...)); a.status != 101 {
			t.Errorf("%s: got %s, want 101", flag, a)
		}
	}
}

// TestHealthChecks: the requests of load balancers, with and without a Host, succeed, and
// Java's offer of h2c changes nothing.
func TestHealthChecks(t *testing.T) {
	t.Parallel()
	p := serve(t, "--echo-auth", "/auth", "--users", htpasswd(t))
	java := []string{"Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA", "Upgrade: h2c", "User-Agent: Java-http-client/21"}
	for _, request := range []string{
		"OPTIONS / HTTP/1.0\r\n\r\n", "HEAD / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\n\r\n",
		head("OPTIONS / HTTP/1.1", "Host: h"), head("OPTIONS * HTTP/1.1", "Host: h"), head("HEAD / HTTP/1.1", "Host: h"),
		head("OPTIONS / HTTP/1.1", "Host: 127.0.0.1", "Connection: close"), head("HEAD http://h/ HTTP/1.1", "Host: h"),
		head(append(get("/"), java...)...), posted("/token", "username=alice&password=correct horse", append(java, loginForm)...),
		head(append(get("/auth", "Accept: application/problem+json", bearer(token("alice"))), java...)...),
	} {
		w := dial(t, p.addr)
		w.write(request)
		status, err := w.in.ReadString('\n')
		w.conn.Close()
		if err != nil || !strings.Contains(status, " 200 ") && !strings.Contains(status, " 204 ") {
			t.Errorf("%q: got %q, %v, want 2xx", request, status, err)
		}
	}
	for _, r := range []row{
		{"a probe of Java's without a token", append(get("/auth", "Accept: application/problem+json"), java...), 401, "token_missing"},
		{"Java's GET of a WebSocket", append(get("/auth"), java...), 426, "upgrade_required"},
		{"h2c or websocket", upgradeTo("/auth", "Upgrade: h2c, websocket", "Accept: application/problem+json"), 401, "token_missing"},
	} {
		knock(t, p.addr, r)
	}
}

// TestMaxHeadFlag: the cap is what the flag says, and the refusal names it.
func TestMaxHeadFlag(t *testing.T) {
	t.Parallel()
	for flag, limit := range map[string]int{"": 16 << 10, "--max-head=1KiB": 1 << 10, "--max-head=20000": 20_000, "--max-head=1MiB": 1 << 20} {
		flags := []string{"--echo", "/echo"}
		if flag != "" {
			flags = append(flags, flag)
		}
		p := serve(t, flags...)
		for _, lines := range [][]string{upgradeTo("/echo"), get("/")} {
			fill := func(n int) string {
				bare := len(head(append(lines, "X-Fill: ")...))
				return head(append(lines, "X-Fill: "+strings.Repeat("x", n-bare))...)
			}
			if a := ask(t, p.addr, fill(limit)); a.status != 101 && a.status != 200 {
				t.Errorf("%s: %d bytes: got %s", flag, limit, a)
			}
			a := ask(t, p.addr, fill(limit+1))
			size := fmt.Sprintf("%d bytes", limit)
			if limit%1024 == 0 {
				size = fmt.Sprintf("%d KiB", limit>>10)
			}
			if a.status != 431 || !strings.Contains(a.body, "larger than "+size+".") {
				t.Errorf("%s: %d bytes: got %s, want 431 with %s", flag, limit+1, a, size)
			}
		}
	}
}

// TestAdminHost: on a loopback address the admin answers to no name but localhost.
func TestAdminHost(t *testing.T) {
	t.Parallel()
	_, base := serveAdmin(t)
	addr := strings.TrimPrefix(base, "http://")
	_, port, _ := net.SplitHostPort(addr)
	for host, good := range map[string]bool{
		addr: true, "127.0.0.1": true, "localhost": true, "LOCALHOST:" + port: true, "[::1]:" + port: true, "[::1]": true, "192.0.2.7": true,
		"evil.example": false, "evil.example:" + port: false, "localhost.evil.example": false, "127.0.0.1.evil.example": false,
		"2130706433": false, "127.0.0.1:" + port + ".evil.example": false, "evil.localhost": false,
	} {
		for _, path := range []string{"/stats", "/metrics", "/debug/pprof/cmdline", "/healthz"} {
			w := dial(t, addr)
			w.write(head("GET "+path+" HTTP/1.1", "Host: "+host, "Connection: close"))
			a := w.answer()
			w.conn.Close()
			if good && a.status != 200 || !good && (a.status != 421 && a.status != 400 || a.status == 421 && a.code() != "host_not_allowed") {
				t.Errorf("%s of %q: got %s", path, host, a.line)
			}
		}
	}
}

// TestNoCredentialIsPrinted: no credential of a setting or a request is in the log, on the
// terminal or on the admin's pages.
func TestNoCredentialIsPrinted(t *testing.T) {
	t.Parallel()
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/moved") {
			http.Redirect(w, r, "http://u:s3cret@127.0.0.1:1/keys?x=s3cret", http.StatusFound)
			return
		}
		w.WriteHeader(500)
	}))
	defer down.Close()
	host := strings.TrimPrefix(down.URL, "http://")
	ticket := "q8JkZs3cretXyW0aB4cD5g"
	for _, jwks := range []string{
		"http://user:s3cret@" + host + "/keys?x=s3cret", "http://user:s3cret@" + host + "/moved?code=s3cret#s3cret", "http://s3cret@127.0.0.1:1/?s3cret",
	} {
		for _, format := range []string{"text", "json"} {
			p, base := serveAdmin(t, "--jwks", jwks, "--access-log", "--log-format", format, "--echo-auth", "/auth")
			for _, target := range []string{
				"/auth?token=s3cret", "/auth?token%3Ds3cret", "/auth?pass=s3cret", "/auth?a=b;token=s3cret", "/auth?%2574oken=s3cret", "/auth?TOKEN=s3cret",
				"/auth?" + ticket, "/auth/" + ticket, "/auth/ticket/s3cret", "/auth;token=s3cret", "/auth#token=s3cret", "http://u:s3cret@h/auth",
				"/auth?next=http%3A%2F%2Fu%3As3cret%40h%2F", "/ws/" + strings.Replace(token("s3cret"), ".", "/", 1), "/auth?key=s3cret&x=y",
			} {
				ask(t, p.addr, head(upgradeTo(target, "GET "+target+" HTTP/1.1", "Authorization: Bearer s3cret", "Cookie: token=s3cret", "Sec-WebSocket-Protocol: bearer, s3cret", "Origin: https://u:s3cret@x")...))
			}
			ask(t, p.addr, head(upgradeTo("/auth?token=last")...))
			<-p.stderr.await("jwks: the keys cannot be read")
			_, cmdline := fetchPage(t, base+"/debug/pprof/cmdline")
			_, stats := fetchPage(t, base+"/stats")
			p.signal(t, 15)
			p.exit(t, patience)
			for what, text := range map[string]string{"stderr": p.stderr.String(), "stdout": p.stdout.String(), "cmdline": cmdline, "stats": stats} {
				for _, secret := range []string{"s3cret", "s3/cr", "cr@et", ticket, "eyJ"} {
					if at := strings.Index(text, secret); at >= 0 {
						t.Errorf("--jwks %s, %s: %s has %q: %q", jwks, format, what, secret, text[max(0, at-200):min(at+100, len(text))])
					}
				}
			}
			if !strings.Contains(p.stderr.String(), "REDACTED") || !strings.Contains(cmdline, "--jwks") {
				t.Errorf("is this the log? %q %q", p.stderr, cmdline)
			}
		}
	}
	for _, args := range []string{
		"serve --jwks-refresh http://u:s3cret@h/", "serve --listen http://u:s3cret@h/?token=s3cret", "serve --admin http://u:s3cret@h",
		"serve --jwks u:s3cret@h/x", "serve --origin https://u:s3cret@h", "serve --rate token=s3cret", "serve --token=s3cret", "bench echo http://u:s3cret@h/?token=s3cret",
		"serve --echo /x?token=s3cret",
	} {
		got := finish(t, nil, strings.Fields(args)...)
		if got.code == 0 || strings.Contains(got.stderr+got.stdout, "s3cret") {
			t.Errorf("%s: got %d %s", args, got.code, got.stderr)
		}
	}
}
