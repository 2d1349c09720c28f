//go:build linux

package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

const backendKey = "the-key-of-the-backend-which-is-long"

// backend speaks to the API of a program.
type backend struct {
	base   string
	key    string
	client *http.Client
}

// serveAPI starts a program with an API, and returns a backend for it.
func serveAPI(t *testing.T, begin func(t testing.TB, flags ...string) *program, flags ...string) (*program, *backend) {
	t.Helper()
	keys := filepath.Join(t.TempDir(), "keys")
	writeKeys(t, keys, "another-key-which-is-as-good-as-that", backendKey)
	p := begin(t, append([]string{"--api", "127.0.0.1:0", "--api-key-file", keys}, flags...)...)
	_, base, _ := strings.Cut(strings.TrimSpace(<-p.stdout.await("api on ")), "api on ")
	return p, &backend{base, backendKey, http.DefaultClient}
}

func writeKeys(t *testing.T, path string, keys ...string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(strings.Join(keys, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (b *backend) ask(t testing.TB, method, path, body string) (status int, answer map[string]any) {
	t.Helper()
	req, err := http.NewRequest(method, b.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if b.key != "" {
		req.Header.Set("Authorization", "Bearer "+b.key)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

func (b *backend) want(t testing.TB, method, path, body string, status int) map[string]any {
	t.Helper()
	got, answer := b.ask(t, method, path, body)
	if got != status {
		t.Errorf("%s %s: got %d %v, want %d", method, path, got, answer, status)
	}
	return answer
}

// TestAPIDocument: what docs/API.md shows works as it stands, with curl, Python and Node, and is
// answered as it says.
func TestAPIDocument(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("curl"); err != nil {
		missing(t, "curl", "not installed; see make deps")
	}
	text, err := os.ReadFile("../../docs/API.md")
	if err != nil {
		t.Fatal(err)
	}
	p, b := serveAPI(t, serve)
	arrive := func(user string) {
		join(t, p.addr, upgradeTo("/ws/lobby", bearer(token(user)))...)
	}
	settle := func(connections int) { // those that were closed have left
		eventually(t, "the lobby", func() bool {
			_, room := b.ask(t, "GET", "/v1/rooms/lobby", "")
			return room["connections"] == float64(connections)
		})
	}
	arrive("alice")
	arrive("bob")
	settle(2)
	examples := regexp.MustCompile("(?s)```(sh|python|js)\n(.*?)```(?:\n```json\n(.*?)\n```)?").FindAllSubmatch(text, -1)
	if len(examples) < 18 {
		t.Fatalf("docs/API.md has %d examples", len(examples))
	}
	env := []string{"API=" + b.base, "KEY=" + b.key}
	called := make(map[string]bool)
	for _, e := range examples {
		language, code, want := string(e[1]), string(e[2]), string(e[3])
		var cmd *exec.Cmd
		switch language {
		case "sh":
			if strings.Contains(code, "$ID") {
				env = append(env, "ID="+b.want(t, "GET", "/v1/users/alice", "", 200)["connections"].([]any)[0].(map[string]any)["id"].(string))
			}
			cmd = exec.Command("bash", "-euc", code)
			called[callOf(code)] = true
		case "python":
			arrive("alice")
			arrive("bob")
			settle(2)
			cmd, want = exec.Command(debian, "-c", code), "2\n1\nuser_unknown"
		case "js":
			settle(1)
			path, err := exec.LookPath("node")
			if err != nil {
				missing(t, "node", "no node here")
			}
			cmd, want = exec.Command(path, "--input-type=module", "--eval", code), "1\n1\nuser_unknown"
		}
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		pattern := "^" + strings.ReplaceAll(regexp.QuoteMeta(want), "…", ".*?") + "\n*$"
		if err != nil || !regexp.MustCompile(pattern).Match(out) {
			t.Errorf("%s\n%s\ngot %s %v\nwant %s", language, code, out, err, want)
		}
	}
	for _, operation := range operationsOf(t) {
		if !called[operation] {
			t.Errorf("docs/API.md shows no %s", operation)
		}
		delete(called, operation)
	}
	if len(called) > 0 {
		t.Errorf("docs/API.md shows what docs/openapi.json has not: %v", called)
	}
}

// callOf returns which operation a call of curl is.
func callOf(code string) string {
	method := "GET"
	if strings.Contains(code, " -d ") {
		method = "POST"
	}
	if m := regexp.MustCompile(`-X (\w+)`).FindStringSubmatch(code); m != nil {
		method = m[1]
	}
	path := regexp.MustCompile(`\$API([^"?\s]*)`).FindStringSubmatch(code)[1]
	for _, names := range []string{"rooms", "users", "connections", "members"} {
		path = regexp.MustCompile("/"+names+`/[^/]+`).ReplaceAllString(path, "/"+names+"/{}")
	}
	return method + " " + path
}

// operationsOf returns the operations of docs/openapi.json, as callOf writes them.
func operationsOf(t *testing.T) (all []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Paths map[string]map[string]any }
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	for path, methods := range doc.Paths {
		for method := range methods {
			all = append(all, strings.ToUpper(method)+" "+regexp.MustCompile(`{\w+}`).ReplaceAllString(path, "{}"))
		}
	}
	return all
}

// TestAPIKeys: a reload changes the keys, and no key is said anywhere.
func TestAPIKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second := filepath.Join(dir, "first"), filepath.Join(dir, "second")
	old, fresh := strings.Repeat("o", 32), strings.Repeat("n", 40)
	writeKeys(t, first, old)
	writeKeys(t, second, backendKey)
	p, admin := serveAdmin(t, "--api", "127.0.0.1:0", "--api-key-file", first+","+second, "--access-log", "--log-level", "debug")
	_, base, _ := strings.Cut(strings.TrimSpace(<-p.stdout.await("api on ")), "api on ")
	b := &backend{base, old, http.DefaultClient}
	b.want(t, "GET", "/v1/rooms", "", 200)
	writeKeys(t, first, "", fresh)
	p.signal(t, syscall.SIGHUP)
	eventually(t, "the old key", func() bool { status, _ := b.ask(t, "GET", "/v1/rooms", ""); return status == 401 })
	b.key = fresh
	b.want(t, "GET", "/v1/rooms", "", 200)
	b.key = backendKey
	b.want(t, "DELETE", "/v1/users/nobody?reason=a+secret+reason", "", 404)
	writeKeys(t, first, "short")
	p.signal(t, syscall.SIGHUP)
	eventually(t, "the reload", func() bool { return strings.Contains(p.stderr.String(), "has 5 bytes and needs 32") })
	b.key = fresh
	b.want(t, "GET", "/v1/rooms", "", 200)

	_, debug := fetchPage(t, admin+"/debug/pprof/cmdline")
	_, stats := fetchPage(t, admin+"/stats")
	_, metrics := fetchPage(t, admin+"/metrics")
	eventually(t, "the log", func() bool {
		return strings.Contains(p.stderr.String(), "msg=api method=DELETE path=/v1/users/nobody remote=127.0.0.1:") && strings.Contains(p.stderr.String(), "code=key_invalid")
	})
	writeKeys(t, first, old)
	checked := finish(t, nil, "check", "--api", "127.0.0.1:0", "--api-key-file", first+","+second)
	for _, said := range []string{p.stderr.String(), p.stdout.String(), debug, stats, metrics, checked.stdout, checked.stderr} {
		for _, secret := range []string{old, fresh, backendKey, "secret+reason", "secret reason"} {
			if strings.Contains(said, secret) {
				t.Errorf("%q is in %s", secret, said)
			}
		}
	}
	for _, series := range []string{`usher_api_requests_total{code="ok",op="listRooms"}`, `usher_api_requests_total{code="key_invalid",op=""}`, `usher_api_requests_total{code="user_unknown",op="closeUser"} 1`} {
		if !strings.Contains(metrics, series) {
			t.Errorf("there is no %s", series)
		}
	}
}

// TestAPIMistakes: an API that anybody could use is not served.
func TestAPIMistakes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good, short := filepath.Join(dir, "good"), filepath.Join(dir, "short")
	writeKeys(t, good, backendKey)
	writeKeys(t, short, backendKey, "", strings.Repeat("x", 31))
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"--api 127.0.0.1:0", 2, "--api-key-file"},
		{"--api [::1]:0", 2, "--api-key-file"},
		{"--api-key-file " + good, 2, "--api"},
		{"--api tls://127.0.0.1:0 --api-key-file " + good, 2, "HOST:PORT"},
		{"--api systemd: --api-key-file " + good, 2, "HOST:PORT"},
		{"--api 127.0.0.1:0 --api-key-file " + short, 2, "has 31 bytes and needs 32"},
		{"--api 127.0.0.1:0 --api-key-file /does/not/exist", 1, "/does/not/exist"},
		{"--api 127.0.0.1:0 --api-key-file " + backendKey, 2, "may be the key itself"},
		{"--api " + busy.Addr().String() + " --api-key-file " + good, 1, "--api"},
		{"--api unix:" + dir, 1, "--api"},
	} {
		for _, command := range []string{"serve --listen 127.0.0.1:0", "guard --listen 127.0.0.1:0 --upstream http://127.0.0.1:9"} {
			got := finish(t, []string{"USHER_SECRET=" + secret}, strings.Fields(command+" "+tt.args)...)
			if got.code != tt.code || strings.Count(got.stderr, "usher: ") != 1 || !strings.Contains(got.stderr, tt.says) || strings.Contains(got.stderr, backendKey) {
				t.Errorf("%s %s: got %+v, want %d and %q", command, tt.args, got, tt.code, tt.says)
			}
		}
	}
}

// TestAPIUnixSocket: a unix socket needs no key, and is for its owner unless more is said; with a key
// it is asked for.
func TestAPIUnixSocket(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	writeKeys(t, keys, backendKey)
	for k, tt := range []struct {
		query string
		mode  os.FileMode
		flags []string
		want  int
	}{{"", 0o600, nil, 200}, {"?mode=0660", 0o660, nil, 200}, {"", 0o600, []string{"--api-key-file", keys}, 401}} {
		path := filepath.Join(dir, fmt.Sprint("socket", k))
		p := serve(t, append(tt.flags, "--api", "unix:"+path+tt.query)...)
		if line := <-p.stdout.await("api on "); strings.TrimSpace(line) != "api on unix:"+path {
			t.Errorf("got %q", line)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != tt.mode {
			t.Errorf("%v, %v: want mode %o", info, err, tt.mode)
		}
		transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}}
		b := &backend{"http://usher", "", &http.Client{Transport: transport}}
		b.want(t, "GET", "/v1/rooms", "", tt.want)
		if b.key = backendKey; tt.want == 401 {
			b.want(t, "GET", "/v1/rooms", "", 200)
		}
		transport.CloseIdleConnections()
		p.signal(t, syscall.SIGTERM)
		if code := p.exit(t, patience); code != 0 {
			t.Errorf("the exit code is %d", code)
		}
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("the file is left behind: %v", err)
		}
	}
}

// TestAPIGuard: a guard knows users and connections.
func TestAPIGuard(t *testing.T) {
	t.Parallel()
	app := serve(t, "--echo", "/echo")
	p, b := serveAPI(t, func(t testing.TB, flags ...string) *program { return guardOf(t, "http://"+app.addr, flags...) })
	w := join(t, p.addr, upgradeTo("/echo", bearer(token("Zoë")))...)
	path := "/v1/users/" + url.PathEscape("Zoë")
	user := b.want(t, "GET", path, "", 200)
	conn := user["connections"].([]any)[0].(map[string]any)
	if conn["user"] != "Zoë" || conn["route"] != "/{path...}" {
		t.Errorf("got %v", user)
	}
	b.want(t, "GET", "/v1/connections/"+conn["id"].(string), "", 200)
	b.want(t, "PUT", "/v1/connections/"+conn["id"].(string)+"/exp", `{"exp":4102444800}`, 200)
	if code := b.want(t, "GET", "/v1/rooms", "", 404)["code"]; code != "no_rooms" {
		t.Errorf("got %v", code)
	}
	for _, to := range []string{path, "/v1/connections/" + conn["id"].(string)} {
		if n := b.want(t, "POST", to+"/messages", `{"text":"hi","from":"ops","id":"1"}`, 200)["connections"]; n != 1.0 {
			t.Errorf("said to %v connections", n)
		}
		b.want(t, "POST", to+"/messages", `{"text":"hi","id":"1"}`, 200) // it was said
		b.want(t, "POST", to+"/messages", `{"json":{"unread": [3]}}`, 200)
		w.want(opText, "hi")
		w.want(opText, `{"unread":[3]}`)
	}
	w.write(masked(opText, "and still an echo"))
	w.want(opText, "and still an echo")
	b.want(t, "DELETE", path+"?ban=1h&reason=out", "", 200)
	if reason := w.wantClose(4403); reason != "out" {
		t.Errorf("got %q", reason)
	}
	if a := ask(t, p.addr, head(upgradeTo("/echo", bearer(token("Zoë")))...)); a.status != 403 || !strings.Contains(a.body, `"banned"`) {
		t.Errorf("got %s", a)
	}
	p.signal(t, syscall.SIGHUP) // another policy, and the same bans
	eventually(t, "the reload", func() bool { return strings.Contains(p.stderr.String(), "the settings were read again") })
	if a := ask(t, p.addr, head(upgradeTo("/echo", bearer(token("Zoë")))...)); a.status != 403 {
		t.Errorf("after a reload: got %s", a)
	}
	b.want(t, "DELETE", path+"/ban", "", 200)
	join(t, p.addr, upgradeTo("/echo", bearer(token("Zoë")))...)
}

// TestAPIUnderFire: backends that ask for everything at once, slow ones and strangers disturb neither
// each other nor clients, and leave nothing behind.
func TestAPIUnderFire(t *testing.T) {
	t.Parallel()
	p, b := serveAPI(t, serve, "--rate", "0")
	sockets := p.sockets(t)
	client, _, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/ws/fire?token="+token("alice"), nil)
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan int)
	go func() {
		n := 0
		for {
			_, m, err := client.ReadMessage()
			if err != nil || string(m) == "Server: end" {
				heard <- n
				return
			}
			if strings.HasPrefix(string(m), "Server: shot") {
				n++
			}
		}
	}()
	addr := strings.TrimPrefix(b.base, "http://")
	var idle []net.Conn // strangers, and one half of a body
	for range 50 {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, conn)
	}
	fmt.Fprintf(idle[0], "POST /v1/rooms/fire/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{", b.key)
	const each = 100
	var all sync.WaitGroup
	for k := range 8 {
		all.Go(func() {
			b := &backend{b.base, b.key, &http.Client{Transport: &http.Transport{}}}
			defer b.client.CloseIdleConnections()
			for i := range each {
				b.want(t, "POST", "/v1/rooms/fire/messages", fmt.Sprintf(`{"text":"shot","id":"%d-%d"}`, k/2, i), 200) // each twice
				b.ask(t, "GET", "/v1/users/alice", "")
				b.ask(t, "GET", "/v1/rooms/fire", "")
				b.ask(t, "PUT", fmt.Sprintf("/v1/rooms/side-%d/members/alice", k), "")
				b.ask(t, "DELETE", fmt.Sprintf("/v1/rooms/side-%d/members/alice", k), "")
				b.ask(t, "DELETE", fmt.Sprintf("/v1/users/mallory-%d?ban=1h", i), "")
				b.ask(t, "DELETE", fmt.Sprintf("/v1/users/mallory-%d/ban", i), "")
			}
		})
	}
	all.Wait()
	b.want(t, "POST", "/v1/rooms/fire/messages", `{"text":"end"}`, 200)
	if n := <-heard; n != 4*each {
		t.Errorf("alice has heard %d of %d", n, 4*each)
	}
	b.want(t, "DELETE", "/v1/users/alice", "", 200)
	client.Close()
	for _, conn := range idle {
		conn.Close()
	}
	b.client.CloseIdleConnections()
	becomes(t, "sockets", sockets, p.sockets)
}

// TestAPISlowBody: a body that does not come ends its request, and no other.
func TestAPISlowBody(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for the body's time")
	}
	t.Parallel()
	_, b := serveAPI(t, serve)
	conn, err := net.Dial("tcp", strings.TrimPrefix(b.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /v1/rooms/x/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{", b.key)
	began := time.Now()
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") || time.Since(began) < 10*time.Second {
		t.Errorf("after %v: %s, %v", time.Since(began), answer, err)
	}
}
