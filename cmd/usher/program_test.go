//go:build linux

// Tests from the outside in: they build the program, run it, and talk to it over
// sockets of 127.0.0.1, as its users do.
package main_test

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	_ "github.com/usher-ws/usher/cmd/usher" // go test's cache must know what these tests test
)

const (
	secret = "0123456789abcdef0123456789abcdef" // USHER_SECRET of every program here

	// patience bounds what should happen at once. On a busy machine nothing happens at
	// once, so the limit is the test binary's own timeout.
	patience = time.Hour
)

// scratch holds the built programs.
var scratch string

// TestMain is also the way into the second process of TestCrowd, and of TestGuardGorilla.
func TestMain(m *testing.M) {
	if socket := os.Getenv(gorillaEnv); socket != "" {
		os.Exit(gorillaMain(socket))
	}
	if addr := os.Getenv(crowdEnv); addr != "" {
		os.Exit(crowdMain(addr))
	}
	flag.Parse()
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	var err error
	if scratch, err = os.MkdirTemp("", "usher-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	code := m.Run()
	if err := closeBrowser(); err != nil {
		fmt.Fprintln(os.Stderr, "browser.mjs:", err)
		return 1
	}
	if code != 0 {
		return code
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

var (
	buildTested = sync.OnceValues(func() (string, error) { return build(raceEnabled) })
	buildPlain  = sync.OnceValues(func() (string, error) { return build(false) })
)

// build compiles the program and returns where it is.
func build(race bool) (string, error) {
	path := filepath.Join(scratch, fmt.Sprintf("usher-race-%t", race))
	out, err := exec.Command("go", "build", "-buildvcs=false", fmt.Sprintf("-race=%t", race), "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}

// usher returns a command that runs the program, with a secret.
func usher(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	path, err := buildTested()
	if err != nil {
		t.Fatal(err)
	}
	return command(path, args...)
}

func command(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), "USHER_SECRET="+secret)
	return cmd
}

// program is a running `usher serve`.
type program struct {
	addr string // 127.0.0.1:port

	cmd    *exec.Cmd
	stdout *transcript
	stderr *transcript
	done   chan struct{} // closed when the process is gone
	errors bool          // it is right to log some
	err    error         // of Wait; read it after done
}

// serve starts `usher serve` with the flags on a port of its own choice, with the demo users
// unless the flags name others, and waits until it listens. It pings late, for the sake of
// clients that count every byte on a busy machine. The end of the test kills it, and the test
// fails if it logged a data race, a panic or an error.
func serve(t testing.TB, flags ...string) *program {
	t.Helper()
	args := []string{"serve", "--listen", "127.0.0.1:0"}
	for name, value := range map[string]string{"--users": "demo", "--ping-interval": "0", "--idle-timeout": "10m"} {
		if !slices.Contains(flags, name) {
			args = append(args, name, value)
		}
	}
	return start(t, usher(t, append(args, flags...)...))
}

func start(t testing.TB, cmd *exec.Cmd) *program {
	t.Helper()
	p := &program{cmd: cmd, stdout: newTranscript(), stderr: newTranscript(), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.stdout, p.stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() { p.bury(t) })

	const banner = "listening on http" // or https
	select {
	case line := <-p.stdout.await(banner):
		_, p.addr, _ = strings.Cut(line, "://")
		p.addr = strings.TrimRight(strings.Fields(p.addr)[0], "/")
	case <-p.done:
		t.Fatalf("%q: got %v, want a line with %q\n%s%s", cmd.Args, p.err, banner, p.stdout, p.stderr)
	case <-time.After(patience):
		t.Fatalf("%q: no line with %q\n%s%s", cmd.Args, banner, p.stdout, p.stderr)
	}
	return p
}

func (p *program) bury(t testing.TB) {
	p.cmd.Process.Kill()
	<-p.done
	said := p.stderr.String()
	for _, word := range []string{"DATA RACE", "panic:", "fatal error:", "level=ERROR"} {
		if strings.Contains(said, word) && !(p.errors && word == "level=ERROR") {
			t.Errorf("%q said %q", p.cmd.Args, word)
		}
	}
	if t.Failed() {
		t.Logf("%q said:\n%s", p.cmd.Args, tail(said, 8<<10))
	}
}

// signal sends sig to the program.
func (p *program) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// exit waits for the program's end and returns its exit code.
func (p *program) exit(t testing.TB, within time.Duration) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(within):
		t.Fatalf("%q still runs after %v", p.cmd.Args, within)
	}
	var failed *exec.ExitError
	if p.err != nil && !errors.As(p.err, &failed) {
		t.Fatal(p.err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// fds returns how many file descriptors the program has open.
func (p *program) fds(t testing.TB) int { return len(p.fdLinks(t)) }

// sockets returns how many of them are sockets. What the runtime opens for
// itself, when first it needs it, are none.
func (p *program) sockets(t testing.TB) (n int) {
	for _, link := range p.fdLinks(t) {
		if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

func (p *program) fdLinks(t testing.TB) (links []string) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", p.cmd.Process.Pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		links = append(links, filepath.Join(dir, e.Name()))
	}
	return links
}

// transcript gathers what a program writes. Any goroutine may use it.
type transcript struct {
	mu      sync.Mutex
	text    bytes.Buffer
	wanted  string
	arrived chan string // of one line, with wanted in it
}

func newTranscript() *transcript { return &transcript{arrived: make(chan string, 1)} }

// Write implements io.Writer.
func (w *transcript) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(b)
	w.look()
	return len(b), nil
}

// await returns a channel that gets the first whole line with part in it.
func (w *transcript) await(part string) <-chan string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wanted = part
	w.look()
	return w.arrived
}

func (w *transcript) look() {
	if w.wanted == "" {
		return
	}
	lines := bufio.NewReader(bytes.NewReader(w.text.Bytes()))
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		if strings.Contains(line, w.wanted) {
			w.wanted = ""
			w.arrived <- line
			return
		}
	}
}

// String returns all that was written so far.
func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// eventually asks again and again until ok says yes, and fails the test when
// that takes too long.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !patiently(ok) {
		t.Fatalf("%s: still not so after %v", what, patience)
	}
}

// becomes is eventually for a count.
func becomes(t testing.TB, what string, want int, count func(testing.TB) int) {
	t.Helper()
	got := 0
	if !patiently(func() bool { got = count(t); return got == want }) {
		t.Fatalf("%s: got %d after %v, want %d", what, got, patience, want)
	}
}

func patiently(ok func() bool) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// token returns a good token: its subject is sub, its rooms all, or those given.
func token(sub string, rooms ...string) string {
	claims := jwt.MapClaims{"sub": sub, "exp": time.Now().Add(time.Hour).Unix()}
	if rooms != nil {
		claims["rooms"] = rooms
	}
	return sign(jwt.SigningMethodHS256, claims)
}

// sign returns a token with the claims, signed with the program's secret.
func sign(method jwt.SigningMethod, claims jwt.MapClaims) string {
	var key any = []byte(secret)
	if method == jwt.SigningMethodNone {
		key = jwt.UnsafeAllowNoneSignatureType
	}
	s, err := jwt.NewWithClaims(method, claims).SignedString(key)
	if err != nil {
		panic(err)
	}
	return s
}
