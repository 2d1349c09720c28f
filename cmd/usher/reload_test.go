//go:build linux

package main_test

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"
)

// reloader is a program with a file of settings that SIGHUP has it read again.
type reloader struct {
	*program
	testing.TB
	dir, admin string
}

// startReloader runs the program with these lines as its file.
func startReloader(t *testing.T, config string) *reloader {
	t.Helper()
	r := &reloader{TB: t, dir: t.TempDir()}
	for name, text := range map[string]string{"a": strings.Repeat("a", 32), "b": strings.Repeat("b", 32), "short": "b"} {
		r.write(name, text)
	}
	r.write("usher.yaml", r.at(config))
	r.program = start(t, usher(t, "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config", r.path("usher.yaml"), "--echo-auth", "/auth"))
	_, r.admin, _ = strings.Cut(strings.TrimSpace(<-r.stdout.await("admin on ")), "admin on ")
	return r
}

func (r *reloader) path(name string) string { return filepath.Join(r.dir, name) }

// at puts the directory in place of DIR.
func (r *reloader) at(text string) string { return strings.ReplaceAll(text, "DIR", r.dir) }

func (r *reloader) write(name, text string) {
	r.Helper()
	if err := os.WriteFile(r.path(name), []byte(text), 0o600); err != nil {
		r.Fatal(err)
	}
}

// reload has these lines read as the file, and returns whether they were taken.
func (r *reloader) reload(t *testing.T, config string) bool {
	t.Helper()
	r.write("usher.yaml", r.at(config))
	count := func() (ok, failed int) {
		series := scrape(t, r.admin)
		return series[`usher_reloads_total{result="ok"}`], series[`usher_reloads_total{result="failed"}`]
	}
	ok, failed := count()
	r.signal(t, syscall.SIGHUP)
	taken := false
	eventually(t, "the reload is counted", func() bool {
		now, wrong := count()
		taken = now > ok
		return now+wrong > ok+failed
	})
	return taken
}

// signed returns a token by the secret in the file of this name.
func signed(by string) string {
	text, _ := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "alice", "exp": 4e9}).SignedString([]byte(strings.Repeat(by, 32)))
	return text
}

// visit returns the verdict on an upgrade by a page with a token.
func (r *reloader) visit(page, token string) (conn *websocket.Conn, status int) {
	conn, resp, err := websocket.DefaultDialer.Dial("ws://"+r.addr+"/auth", http.Header{
		"Authorization": {"Bearer " + token}, "Origin": {"https://" + page + ".example"},
	})
	if resp == nil {
		r.Errorf("no answer: %v", err)
		return nil, 0
	}
	return conn, resp.StatusCode
}

func (r *reloader) wantStatus(page, token string, want int) {
	r.Helper()
	conn, got := r.visit(page, token)
	if conn != nil {
		conn.Close()
	}
	if got != want {
		r.Errorf("a page of %s: got %d, want %d", page, got, want)
	}
}

// logIn returns the status of POST /token, and its token.
func (r *reloader) logIn(t *testing.T, user, password string) (status int, token string) {
	t.Helper()
	resp, err := http.PostForm("http://"+r.addr+"/token", url.Values{"username": {user}, "password": {password}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b := make([]byte, 4096)
	n, _ := resp.Body.Read(b)
	_, token, _ = strings.Cut(string(b[:n]), `"access_token":"`)
	token, _, _ = strings.Cut(token, `"`)
	return resp.StatusCode, token
}

// TestReloadSecrets: the first of several secrets signs and all verify, and one that is no
// longer there counts for its grace.
func TestReloadSecrets(t *testing.T) {
	t.Parallel()
	const rest = "\norigin: '*'\nusers: demo\n"
	signs := func(r *reloader, want string) {
		t.Helper()
		_, token := r.logIn(t, "alice", "wonderland")
		if _, err := jwt.Parse(token, func(*jwt.Token) (any, error) { return []byte(strings.Repeat(want, 32)), nil }); err != nil {
			t.Errorf("%s does not sign: %q, %v", want, token, err)
		}
		r.wantStatus("x", token, 101)
	}
	r := startReloader(t, "secret-file: DIR/a"+rest)
	r.wantStatus("x", signed("a"), 101)
	r.wantStatus("x", signed("b"), 401)
	signs(r, "a")
	for _, config := range []string{"secret-file: [DIR/b, DIR/a]", "secret-file: DIR/b", "secret-file: DIR/b\njwks-grace: 10ms"} {
		if !r.reload(t, config+rest) {
			t.Fatalf("%s is not taken", config)
		}
		r.wantStatus("x", signed("a"), 101) // its grace of ten minutes began with the second
		r.wantStatus("x", signed("b"), 101)
		signs(r, "b")
	}
	r.reload(t, "secret-file: DIR/a\njwks-grace: 10ms"+rest)
	eventually(t, "the grace of b is over", func() bool { return r.knock(t, "/auth", signed("b")) == 401 })
	r.wantStatus("x", signed("a"), 101)
	signs(r, "a")
	r.write("a", strings.Repeat("c", 32)) // another secret in the same file
	r.reload(t, "secret-file: DIR/a\njwks-grace: 0s"+rest)
	r.wantStatus("x", signed("a"), 401)
	r.wantStatus("x", signed("c"), 101)
}

// TestReloadUsers: users that are added can log in, and those that are not there any more
// cannot; the page offers what there is.
func TestReloadUsers(t *testing.T) {
	t.Parallel()
	r := &reloader{TB: t, dir: t.TempDir()}
	r.write("alice", htpasswdFile)
	r.write("bob", strings.ReplaceAll(htpasswdFile, "alice:", "bob:"))
	r.write("usher.yaml", "users: none\n")
	r.program = start(t, usher(t, "serve", "--listen", "127.0.0.1:0", "--config", r.path("usher.yaml")))
	for n, tt := range []struct {
		users      string
		alice, bob int
		page       string
	}{
		{"DIR/alice", 200, 401, "password"},
		{"DIR/bob", 401, 200, "password"},
		{"none", 404, 404, "token"},
		{"demo", 401, 401, "demo"}, // with other passwords
	} {
		r.write("usher.yaml", r.at("users: "+tt.users+"\n"))
		r.signal(t, syscall.SIGHUP)
		eventually(t, "it is read", func() bool { return strings.Count(r.stderr.String(), "were read again") == n+1 })
		alice, _ := r.logIn(t, "alice", "correct horse")
		bob, _ := r.logIn(t, "bob", "correct horse")
		if alice != tt.alice || bob != tt.bob {
			t.Errorf("%s: got %d and %d, want %d and %d", tt.users, alice, bob, tt.alice, tt.bob)
		}
		if _, page := fetchPage(t, "http://"+r.addr); !strings.Contains(page, `data-login="`+tt.page+`"`) {
			t.Errorf("%s: the page does not offer %s", tt.users, tt.page)
		}
	}
}

// TestReloadLiveConnections: a connection that is there takes the new rates, limits and the
// action from its next message on, and is not closed by that.
func TestReloadLiveConnections(t *testing.T) {
	t.Parallel()
	r := startReloader(t, "origin: '*'\nrate: 0")
	conn, _ := r.visit("x", token("alice"))
	defer conn.Close()
	echoes := func(n int) {
		t.Helper()
		for range n {
			if err := conn.WriteMessage(websocket.TextMessage, []byte("hi")); err != nil {
				t.Fatal(err)
			}
			if _, b, err := conn.ReadMessage(); string(b) != "hi" {
				t.Fatalf("got %q, %v", b, err)
			}
		}
	}
	echoes(200)
	if !r.reload(t, "origin: '*'\nrate: 3/h\nburst: 5\nover-limit: close\nmax-conns-per-ip: 1") {
		t.Fatal("not taken")
	}
	r.wantStatus("x", token("bob"), 429)
	echoes(5)
	if !r.reload(t, "origin: '*'\nrate: 1000000/s\nover-limit: close") {
		t.Fatal("not taken")
	}
	echoes(50)
	if !r.reload(t, "origin: '*'\nrate: 3/h\nburst: 2\nover-limit: close\nmax-conns-per-user: 1") {
		t.Fatal("not taken")
	}
	r.wantStatus("x", token("alice"), 429)
	echoes(2)
	if err := conn.WriteMessage(websocket.TextMessage, []byte("hi")); err != nil {
		t.Fatal(err)
	}
	if _, b, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.ClosePolicyViolation) {
		t.Errorf("over the new rate: got %q, %v, want 1008", b, err)
	}
}

// TestReloadMistakes: with a mistake everything stays as it was; it is told in one line, and
// counted.
func TestReloadMistakes(t *testing.T) {
	t.Parallel()
	const good = "secret-file: DIR/a\norigin: https://a.example\nrate: 0\njwks-grace: 0s\n"
	r := startReloader(t, good)
	r.write("users", "alice:nohash\n")
	r.write("set.json", `{"keys":[]}`)
	conn, _ := r.visit("a", signed("a"))
	defer conn.Close()
	// Each would change the secret and the origin if it were taken.
	const other = "secret-file: DIR/b\norigin: https://b.example\nrate: 1/h\njwks-grace: 0s\n"
	for config, want := range map[string]string{
		other + "rat: 3/s":                                 "nearest is rate",
		other + "rate: [":                                  "line 5",
		other + "max-message: much":                        "max-message",
		other + "max-conns: 100000000":                     "too few open files",
		other + "users: DIR/users":                         "bcrypt",
		other + "users: DIR/nobody":                        "no such file",
		other + "jwks: DIR/set.json":                       "no key",
		other + "jwks: http://127.0.0.1:1/keys":            "--jwks",
		other + "public-key: DIR/a":                        "--public-key",
		other + "echo: auth":                               "--echo",
		strings.Replace(other, "DIR/b", "DIR/short", 1):    "needs 32",
		strings.Replace(other, "DIR/b", "DIR/gone", 1):     "no such file",
		strings.Replace(other, "rate: 1/h", "rate: ''", 1): "empty",
		strings.Replace(other, "b.example", "b/", 1):       "--origin",
	} {
		before := r.stderr.String()
		if r.reload(t, config) {
			t.Errorf("%q was taken", config)
			continue
		}
		eventually(t, "it is told", func() bool { return strings.Contains(r.stderr.String()[len(before):], "stay as they were") })
		if said := r.stderr.String()[len(before):]; strings.Count(said, "stay as they were") != 1 || !strings.Contains(said, want) {
			t.Errorf("%q: it says %q, want one line with %q", config, said, want)
		}
		r.wantStatus("a", signed("a"), 101)
		r.wantStatus("b", signed("b"), 403)
		r.wantStatus("a", signed("b"), 401)
	}
	for range 20 { // by the rate that was
		conn.WriteMessage(websocket.TextMessage, []byte("hi"))
		if _, b, err := conn.ReadMessage(); string(b) != "hi" {
			t.Fatalf("got %q, %v", b, err)
		}
	}
	if err := os.Remove(r.path("usher.yaml")); err != nil {
		t.Fatal(err)
	}
	r.signal(t, syscall.SIGHUP)
	eventually(t, "a file that is gone is told", func() bool { return strings.Contains(r.stderr.String(), "usher.yaml: no such file") })
	if !r.reload(t, other) {
		t.Error("what is right is not taken after all this")
	}
	r.wantStatus("b", signed("b"), 101)
	r.wantStatus("a", signed("a"), 403)
	if _, body := fetchPage(t, r.admin+"/stats"); !strings.Contains(body, `"reloads":1,"reloads_failed":15`) {
		t.Errorf("/stats: got %s", tail(body, 60))
	}
}

// TestReloadKeepsTheDemoOut: a server whose secret was taken away does not make one of its own
// and let in the demo's users, and one that has its own keeps it.
func TestReloadKeepsTheDemoOut(t *testing.T) {
	t.Parallel()
	cmd := usher(t, "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	cmd.Env = os.Environ() // without USHER_SECRET
	p := start(t, cmd)
	_, before, _ := strings.Cut(p.stdout.String(), "token=")
	p.signal(t, syscall.SIGHUP)
	eventually(t, "it is read again", func() bool { return strings.Contains(p.stderr.String(), "read again") })
	if got := p.knock(t, "/ws/lobby", strings.TrimSpace(before)); got != 101 {
		t.Errorf("the token of the start: got %d", got)
	}

	r := &reloader{TB: t, dir: t.TempDir()}
	r.write("a", strings.Repeat("a", 32))
	r.write("usher.yaml", r.at("secret-file: DIR/a\n"))
	cmd = usher(t, "serve", "--listen", "127.0.0.1:0", "--config", r.path("usher.yaml"))
	cmd.Env = os.Environ()
	r.program = start(t, cmd)
	r.write("usher.yaml", "rate: 1/s\n")
	r.signal(t, syscall.SIGHUP)
	eventually(t, "it is refused", func() bool { return strings.Contains(r.stderr.String(), "no secret and no key is left") })
	if status, _ := r.logIn(t, "alice", "wonderland"); status != 404 {
		t.Errorf("POST /token: got %d, want 404", status)
	}
	if got := r.knock(t, "/ws/lobby", signed("a")); got != 101 {
		t.Errorf("the secret that was: got %d", got)
	}
}

// TestReloadLogLevel: the level of the log changes.
func TestReloadLogLevel(t *testing.T) {
	t.Parallel()
	r := startReloader(t, "log-level: info")
	r.knock(t, "/auth", "bad.1")
	if !r.reload(t, "log-level: debug") {
		t.Fatal("not taken")
	}
	r.knock(t, "/auth", "bad.2")
	eventually(t, "a refusal is logged", func() bool { return strings.Count(r.stderr.String(), "a request was refused") == 1 })
	if !r.reload(t, "log-level: warn") {
		t.Fatal("not taken")
	}
	r.knock(t, "/auth", "bad.3")
	if !r.reload(t, "log-level: warn\nloops: 3\naccess-log: true") {
		t.Fatal("not taken")
	}
	for _, name := range []string{"--loops", "--access-log"} {
		eventually(t, name+" is told", func() bool { return strings.Contains(r.stderr.String(), "setting="+name) })
	}
	if said := r.stderr.String(); strings.Count(said, "a request was refused") != 1 || strings.Count(said, "was refused") > 1 {
		t.Errorf("it says %s", said)
	}
}

// TestReloadIsNotified: a service manager is told when it begins and when it is over, also if
// nothing changes.
func TestReloadIsNotified(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	hear := func() string {
		b := make([]byte, 100)
		n, err := manager.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	config := filepath.Join(t.TempDir(), "usher.yaml")
	os.WriteFile(config, []byte("rate: 5/s\n"), 0o600)
	cmd := usher(t, "serve", "--listen", "127.0.0.1:0", "--config", config)
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+path)
	p := start(t, cmd)
	if got := hear(); got != "READY=1" {
		t.Errorf("first it says %q", got)
	}
	var last int64
	for _, text := range []string{"rate: 6/s\n", "rate: \n"} {
		os.WriteFile(config, []byte(text), 0o600)
		p.signal(t, syscall.SIGHUP)
		var at int64
		if got := hear(); true {
			if _, err := fmt.Sscanf(got, "RELOADING=1\nMONOTONIC_USEC=%d", &at); err != nil || at <= last {
				t.Errorf("it says %q, %v, behind %d", got, err, last)
			}
		}
		last = at
		if got := hear(); got != "READY=1" {
			t.Errorf("then it says %q", got)
		}
	}
}

// TestReloadUnderConnects: many reloads while clients connect as fast as they can. Each is let
// in or refused as the one file or the other says, and never by a part of each; none is lost.
func TestReloadUnderConnects(t *testing.T) {
	t.Parallel()
	config := func(name string) string {
		return "jwks-grace: 0s\nrate: 0\nsecret-file: DIR/" + name + "\norigin: https://" + name + ".example\n"
	}
	r := startReloader(t, config("a"))
	const clients, visits, reloads = 8, 40, 20
	var verdicts [3]atomic.Int64 // let in; refused for the token; for the origin
	var all sync.WaitGroup
	done := make(chan struct{})
	isDone := func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
	for k := range clients {
		all.Go(func() {
			for n := k; n < visits+k || !isDone(); n++ {
				page, by := string("ab"[n&1]), string("ab"[n>>1&1])
				conn, status := r.visit(page, signed(by))
				switch {
				case conn != nil:
					verdicts[0].Add(1)
					conn.WriteMessage(websocket.TextMessage, []byte("hi"))
					if _, b, err := conn.ReadMessage(); string(b) != "hi" {
						t.Errorf("got %q, %v", b, err)
					}
					conn.Close()
					if page != by {
						t.Errorf("a page of %s is let in with a token of %s: by a part of each file", page, by)
					}
				case status == 401:
					verdicts[1].Add(1)
					if page == by {
						t.Errorf("a page of %s is refused for its token of %s", page, by)
					}
				case status == 403:
					verdicts[2].Add(1)
				default:
					t.Errorf("got %d", status)
					return
				}
			}
		})
	}
	for n := range reloads {
		if !r.reload(t, config(string("ba"[n&1]))) {
			t.Error("a reload was not taken")
		}
	}
	close(done)
	all.Wait()
	for k := range verdicts {
		if verdicts[k].Load() == 0 {
			t.Errorf("verdict %d never came", k)
		}
	}
}
