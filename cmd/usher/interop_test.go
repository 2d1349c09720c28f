//go:build linux

package main_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Foreign clients against the running program. Each does the same job and tells what it
// saw; where a library shows less than others do, its test says so.

// job is what a client is asked to do.
type job struct {
	Echo    string `json:"echo"`    // echo every size as text and as binary, ping, close with 1000
	Refused string `json:"refused"` // connect with a bad token
	Chat    string `json:"chat"`    // join, say hi
	Sizes   []int  `json:"sizes"`

	Objects string   `json:"objects"` // join, say all of Say in the JSON dialect, and hear an answer to each
	Say     []string `json:"say"`

	Client   string `json:"client,omitempty"`   // of a script that knows several
	Sentence string `json:"sentence,omitempty"` // to repeat, to a message of every size
	Window   int    `json:"window,omitempty"`   // to ask of the server, in bits; 0: none

	Page    string `json:"page,omitempty"` // for a browser
	Browser string `json:"browser,omitempty"`
}

// seen is what a client saw.
type seen struct {
	Echoed  []string `json:"echoed"` // "text 125": what came back as it went
	Pong    bool     `json:"pong"`
	Close   int      `json:"close"` // the code of the server's close frame
	Refused refusal  `json:"refused"`
	Chat    []string `json:"chat"`

	Objects     []json.RawMessage `json:"objects"`
	Subprotocol string            `json:"subprotocol"`

	Extensions string `json:"extensions"` // agreed on, as the client puts it
}

// refusal is what a client saw of an upgrade that was refused.
type refusal struct {
	Status    int    `json:"status"`
	Challenge string `json:"challenge"` // WWW-Authenticate
	Body      string `json:"body"`
	Close     int    `json:"close"` // where a close code is all there is
}

// shows says which parts of the common job a client can show.
type shows struct {
	pong          bool
	status        bool // of a refusal, and its headers
	body          bool
	closeCode     int // of the end it can see
	refusedAsCode int
}

var everything = shows{pong: true, status: true, body: true, closeCode: 1000}

// sizes end where --max-message ends by default.
var sizes = []int{0, 1, 125, 126, 65535, 65536}

// newJob starts a program and returns the job for one client.
func newJob(t *testing.T, user string) job {
	t.Helper()
	p := serve(t, "--echo", "/echo", "--echo-auth", "/auth", "--rate", "1000/s", "--burst", "1000")
	return job{
		Echo:    "ws://" + p.addr + "/echo",
		Refused: "ws://" + p.addr + "/auth?token=letmein",
		Chat:    "ws://" + p.addr + "/ws/lobby?token=" + url.QueryEscape(token(user)),
		Objects: "ws://" + p.addr + "/ws/objects?token=" + url.QueryEscape(token(user)),
		Page:    "http://" + p.addr + "/",
		Sizes:   sizes,
	}
}

// check compares what a client saw with what it should have.
func check(t *testing.T, s seen, user string, can shows) {
	t.Helper()
	var all []string
	for _, n := range sizes {
		all = append(all, fmt.Sprintf("text %d", n), fmt.Sprintf("binary %d", n))
	}
	if !slices.Equal(s.Echoed, all) {
		t.Errorf("echoed: got %q, want %q", s.Echoed, all)
	}
	if s.Pong != can.pong {
		t.Errorf("pong: got %t, want %t", s.Pong, can.pong)
	}
	if s.Close != can.closeCode {
		t.Errorf("close code: got %d, want %d", s.Close, can.closeCode)
	}
	if want := []string{"Server: " + user + " has joined the chat", user + ": hi"}; !slices.Equal(s.Chat, want) {
		t.Errorf("chat: got %q, want %q", s.Chat, want)
	}
	checkRefusal(t, s.Refused, can)
}

func checkRefusal(t *testing.T, r refusal, can shows) {
	t.Helper()
	if can.refusedAsCode != r.Close {
		t.Errorf("refused: got close code %d, want %d", r.Close, can.refusedAsCode)
	}
	if can.status && (r.Status != 401 || !strings.Contains(r.Challenge, `error="invalid_token"`)) {
		t.Errorf("refused: got %d, %q, want 401 and an invalid_token", r.Status, r.Challenge)
	}
	if !can.body {
		return
	}
	for _, flaw := range flawsOfProblem(r.Body, 401) {
		t.Errorf("refused: %s", flaw)
	}
	if !strings.Contains(r.Body, `"code":"token_invalid"`) {
		t.Errorf("refused: got %q, want code token_invalid", r.Body)
	}
}

// missing skips a test whose foreign client is not there. With CI set, where
// `make deps` has run, that is a failure.
func missing(t *testing.T, client, why string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf("%s: %s", client, why)
	}
	if list := os.Getenv("USHER_SKIPPED"); list != "" { // for make's last line
		f, err := os.OpenFile(list, os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fmt.Fprintln(f, client)
	}
	t.Skipf("%s: %s", client, why)
}

// run runs a script of testdata/clients, which prints what it saw.
func run(t *testing.T, j job, interpreter, script string) (s seen) {
	t.Helper()
	runScript(t, interpreter, script, j, &s)
	return s
}

// runScript runs a script of testdata/clients with what it is to do as JSON, and reads
// the JSON that it prints.
func runScript(t *testing.T, interpreter, script string, do, saw any) {
	t.Helper()
	what, err := json.Marshal(do)
	if err != nil {
		t.Fatal(err)
	}
	runIn(t, clientsDir, saw, interpreter, script, string(what))
}

// runIn runs a program in a directory, and reads the JSON that it prints.
func runIn(t *testing.T, dir string, saw any, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.WaitDelay = time.Second
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", args[0], err, stderr.String())
	}
	if err := json.Unmarshal(out, saw); err != nil {
		t.Fatalf("%s printed %q: %v", args[0], out, err)
	}
}

const clientsDir = "testdata/clients"

// node returns Node, for a client whose script needs the module.
func node(t *testing.T, client, module string) string {
	t.Helper()
	path, err := exec.LookPath("node")
	if err != nil {
		missing(t, client, "no node here")
	}
	if _, err := os.Stat(filepath.Join(clientsDir, "node_modules", module)); err != nil {
		missing(t, client, module+" is not installed; see make deps")
	}
	return path
}

// python returns a Python that has websockets.
func python(t *testing.T) string {
	t.Helper()
	const interpreter = "/usr/bin/python3" // Debian's package is for Debian's own
	if exec.Command(interpreter, "-c", "import websockets").Run() != nil {
		missing(t, "python3-websockets", "not installed; see make deps")
	}
	return interpreter
}

// chromium returns Node, for a script that drives a browser, and the browser.
func chromium(t *testing.T) (interpreter, browser string) {
	t.Helper()
	interpreter = node(t, "chromium", "playwright-core")
	browser, err := exec.LookPath("chromium")
	if err != nil {
		missing(t, "chromium", "not installed; see make deps")
	}
	return interpreter, browser
}

func TestNodeWS(t *testing.T) {
	t.Parallel()
	interpreter := node(t, "ws", "ws")
	check(t, run(t, newJob(t, "alice"), interpreter, "node_ws.mjs"), "alice", everything)
}

// TestNodeUndici: the WebSocket of Node and, in what it shows, of browsers.
func TestNodeUndici(t *testing.T) {
	t.Parallel()
	interpreter := node(t, "undici", "undici")
	s := run(t, newJob(t, "alice"), interpreter, "node_undici.mjs")
	check(t, s, "alice", shows{closeCode: 1000, refusedAsCode: 1006})
}

// TestPythonWebsockets: Debian's, before version 14, shows no body.
func TestPythonWebsockets(t *testing.T) {
	t.Parallel()
	s := run(t, newJob(t, "alice"), python(t), "python_websockets.py")
	check(t, s, "alice", shows{pong: true, status: true, body: s.Refused.Body != "", closeCode: 1000})
}

// TestChromium: a page's script does the common job. What people see of the page is in page_test.go.
func TestChromium(t *testing.T) {
	t.Parallel()
	interpreter, browser := chromium(t)
	j := newJob(t, "carol")
	j.Browser = browser
	s := run(t, j, interpreter, "chromium.mjs")
	check(t, s, "carol", shows{closeCode: 1000, refusedAsCode: 1006})
}

// TestCurl: curl does not speak WebSocket here, but shows every byte of an answer.
func TestCurl(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("curl")
	if err != nil {
		missing(t, "curl", "not installed; see make deps")
	}
	p := serve(t, door...)
	curl := func(urlPath string, args ...string) answer {
		args = append([]string{"--silent", "--show-error", "--include", "--http1.1", "--max-time", "600"}, args...)
		out, err := exec.Command(path, append(args, "http://"+p.addr+urlPath)...).Output()
		a := (&wire{in: newReader(out)}).answer()
		if err != nil {
			a.err = fmt.Errorf("curl: %w", err)
		}
		return a
	}
	upgrade := []string{
		"-H", "Connection: Upgrade", "-H", "Upgrade: websocket",
		"-H", "Sec-WebSocket-Version: 13", "-H", "Sec-WebSocket-Key: " + wsKey,
	}
	for _, c := range []struct {
		path   string
		args   []string
		status int
		code   string
	}{
		{"/auth", append(upgrade, "-H", "Authorization: Bearer letmein"), 401, "token_invalid"},
		{"/auth", upgrade, 401, "token_missing"},
		{"/auth", nil, 426, "upgrade_required"},
		{"/auth", []string{"--data", "x=y"}, 405, "method_not_allowed"},
		{"/nowhere", nil, 404, "not_found"},
		{"/ws/attic", append(upgrade, "-H", "Authorization: Bearer "+token("alice")), 404, "room_unknown"},
		{"/ws/lobby?token=" + token("alice", "cellar"), upgrade, 403, "room_forbidden"},
		{"/auth", append(upgrade, "-H", "X-Fill: "+strings.Repeat("x", 60<<10)), 431, "header_too_large"},
	} {
		a := curl(c.path, c.args...)
		if flaws := flawsOfRefusal(a, "GET", c.status); flaws != nil || a.code() != c.code {
			t.Errorf("%q: got %s, want %d %s\n%s", c.path, a, c.status, c.code, strings.Join(flaws, "\n"))
		}
	}
	login := curl("/token", "--data", "username=alice", "--data", "password=wonderland")
	var granted struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(login.body), &granted); err != nil || login.status != 200 || granted.Token == "" {
		t.Fatalf("log-in: got %s, want 200 and a token", login)
	}
	if a := curl("/ws/lobby?token="+granted.Token, "-H", probe); a.status != 200 || a.body != `{"code":"ok"}` {
		t.Errorf("probe: got %s, want 200 {\"code\":\"ok\"}", a)
	}
	curl101(t, path, "http://"+p.addr+"/echo", upgrade)
}

// curl101 reads the head of a 101 from a curl that then waits for more. Only on its standard
// error does curl print at once what it reads.
func curl101(t *testing.T, path, url string, args []string) {
	t.Helper()
	cmd := exec.Command(path, append(append([]string{"--silent", "--verbose", "--http1.1"}, args...), url)...)
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer watchdog.Stop()
	var got strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if line, ok := strings.CutPrefix(lines.Text(), "< "); ok {
			fmt.Fprintln(&got, line)
			if line == "" {
				break
			}
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	const status, accept = "HTTP/1.1 101 Switching Protocols\n", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\n"
	if !strings.HasPrefix(got.String(), status) || !strings.Contains(got.String(), accept) {
		t.Errorf("curl: got %q, want %q and %q", got.String(), status, accept)
	}
}
