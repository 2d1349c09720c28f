//go:build linux

package main_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// benchReport is the part of a report that these tests look at.
type benchReport struct {
	Headline string `json:"headline"`
	OK       bool   `json:"ok"`
	Command  string `json:"command"`
	Cut      bool   `json:"interrupted"`
	Figures  []struct {
		Key   string  `json:"key"`
		Value float64 `json:"value"`
	} `json:"figures"`
	Faults []struct {
		Text  string `json:"text"`
		Count int    `json:"count"`
	} `json:"faults"`
}

func (r *benchReport) figure(key string) float64 {
	for _, f := range r.Figures {
		if f.Key == key {
			return f.Value
		}
	}
	return 0
}

// measured runs usher bench with --json.
func measured(t *testing.T, args ...string) (r benchReport, code int) {
	t.Helper()
	got := finish(t, []string{"USHER_SECRET=" + secret}, append(append([]string{"bench"}, args...), "--json")...)
	if err := json.Unmarshal([]byte(got.stdout), &r); err != nil {
		t.Fatalf("usher bench %q: %v: %+v", args, err, got)
	}
	return r, got.code
}

// TestBenchEcho measures a server of its own, and knows what it used.
func TestBenchEcho(t *testing.T) {
	t.Parallel()
	p := serve(t, "--echo", "/echo")
	page := filepath.Join(t.TempDir(), "report.html")
	r, code := measured(t, "echo", "ws://"+p.addr+"/echo", "-d", "300ms", "--warmup", "0", "--conns", "7", "--size", "1KiB", "--text", "--html", page)
	if code != 0 || !r.OK || r.figure("messages") == 0 || r.figure("server_rss") == 0 || r.figure("server_fds") < 7 {
		t.Errorf("exit code %d, got %+v", code, r)
	}
	if !strings.HasPrefix(r.Command, "usher bench echo ws://") {
		t.Errorf("command: got %q", r.Command)
	}
	if b, err := os.ReadFile(page); err != nil || !strings.Contains(string(b), "<svg") {
		t.Errorf("the page: %v, got %.100q, want charts", err, b)
	}
}

// TestBenchProcesses: more connections than one process may have are opened by several, to
// servers that are started for the test, and all are gone afterwards.
func TestBenchProcesses(t *testing.T) {
	t.Parallel()
	path, err := buildTested()
	if err != nil {
		t.Fatal(err)
	}
	r, code := measured(t, "idle", "ws://127.0.0.1:"+freePorts(t, 3)+"/echo", "--conns", "60", "--per-process", "25", "--steps", "2", "--hold", "100ms",
		"--spawn", path+" serve --echo /echo --loops 1 --listen {addr}")
	if code != 0 || !r.OK || r.figure("open") != 60 || r.figure("fds") < 60 {
		t.Errorf("exit code %d, got %+v", code, r)
	}
}

// TestBenchTLS: a server that is started gets a certificate, which all processes trust, and is
// measured over TLS.
func TestBenchTLS(t *testing.T) {
	t.Parallel()
	path, err := buildTested()
	if err != nil {
		t.Fatal(err)
	}
	spawn := path + " serve --echo /echo --loops 1 --listen tls://{addr} --tls-cert {cert} --tls-key {key}"
	r, code := measured(t, "idle", "wss://127.0.0.1:"+freePorts(t, 2)+"/echo", "--conns", "40", "--per-process", "25", "--steps", "2", "--hold", "100ms",
		"--spawn", spawn)
	if code != 0 || !r.OK || r.figure("open") != 40 || r.figure("fds") < 40 {
		t.Errorf("exit code %d, got %+v", code, r)
	}
	r, code = measured(t, "handshake", "wss://127.0.0.1:"+freePorts(t, 1)+"/echo", "-d", "300ms", "--warmup", "0", "--conns", "3", "--insecure", "--spawn", spawn)
	if code != 0 || !r.OK || r.figure("handshakes") == 0 || !strings.Contains(r.Headline, "TLS included") {
		t.Errorf("exit code %d, got %+v", code, r)
	}
}

// freePorts returns a range of n ports that nobody uses, as a URL has it. They are
// below those that the kernel gives to clients.
func freePorts(t *testing.T, n int) string {
	t.Helper()
	const low, high = 10_000, 30_000
search:
	for range 100 {
		from := low + rand.IntN(high-low)
		for port := from; port < from+n; port++ {
			ln, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
			if err != nil {
				continue search
			}
			ln.Close()
		}
		return fmt.Sprintf("{%d..%d}", from, from+n-1)
	}
	t.Fatalf("no %d free ports in a row", n)
	return ""
}

// TestBenchErrors: the first line and the exit code tell of errors.
func TestBenchErrors(t *testing.T) {
	t.Parallel()
	p := serve(t, "--echo", "/echo", "--echo-auth", "/auth")
	got := finish(t, nil, "bench", "refuse", "ws://"+p.addr+"/echo", "-d", "200ms", "--warmup", "0", "--conns", "3")
	if line, _, _ := strings.Cut(got.stdout, "\n"); got.code != 1 || !strings.Contains(line, "ERRORS") || !strings.Contains(line, "let in") {
		t.Errorf("an open door that should refuse: got %+v", got)
	}
	r, code := measured(t, "refuse", "ws://"+p.addr+"/auth", "-d", "200ms", "--warmup", "0", "--conns", "3")
	if code != 0 || r.figure("read_all") != 100 {
		t.Errorf("a door that refuses: exit code %d, got %+v", code, r)
	}
	for _, tt := range []struct {
		args string
		code int
		says string
	}{
		{"echo", 2, "<url>"},
		{"nothing ws://x/", 2, "nothing"},
		{"echo x", 2, `URL "x" has no scheme`},
		{"echo 127.0.0.1:80/echo", 2, "has no scheme"},
		{"echo http://x/", 2, "has the scheme http: want one like ws://"},
		{"echo ws://127.0.0.1:1/ --insecure", 2, "no TLS is spoken with ws://"},
		{"flood ws://127.0.0.1:1/ --at ws://127.0.0.1:2/ --ca f", 2, "no TLS is spoken with ws://"},
		{"echo wss://127.0.0.1:1/ --insecure --ca f", 2, "give one of them"},
		{"echo wss://127.0.0.1:1/ --ca /dev/null", 2, "no certificate for --ca"},
		{"echo wss://127.0.0.1:1/ --ca /nowhere", 2, "--ca: open /nowhere: no such file"},
		{"echo wss://127.0.0.1:1/", 1, "connection refused"},
		{"echo ws:///echo", 2, "has no host"},
		{"echo ws://127.0.0.1:/", 2, "no port"},
		{"echo ws://127.0.0.1:65536/", 2, "no port"},
		{"echo ws://x/{2..1}", 2, "the range {2..1} ends before it begins"},
		{"echo ws://x/{1..2", 2, "is no range"},
		{"echo ws://x/{1..99999}", 2, "{1..99999} stands for more than 10000"},
		{"echo ws://alice:wonderland@x/", 2, "user's name"},
		{"echo ws://127.0.0.1:1/echo#top", 2, "a # in it"},
		{"echo ws://127.0.0.1:1/ --rate x", 2, "--rate"},
		{"echo ws://127.0.0.1:1/ --conns=-5", 2, "--conns: -5"},
		{"echo ws://127.0.0.1:1/ --conns 0", 2, "--conns: 0"},
		{"echo ws://127.0.0.1:1/ --size 0", 2, "--size: 0"},
		{"echo ws://127.0.0.1:1/ --size 1GiB", 2, "size: 1,073,741,824 is out of range"},
		{"echo ws://127.0.0.1:1/ --pid 999999999", 2, "process 999999999"},
		{"echo ws://127.0.0.1:1/ --pin-server 0", 2, "--spawn"},
		{"echo ws://127.0.0.1:1/ --token t --secret-file f", 2, "--token and --secret-file"},
		{"fanout ws://127.0.0.1:1/ --conns 10000000", 2, "do not fit into one process"},
		{"flood ws://127.0.0.1:1/ --at http://x/", 2, "has the scheme http"},
		{"hostile ws://127.0.0.1:1/ --attack shout", 2, "slow-head"},
		{"versus --questions shout", 2, "want one of echo-20"},
		{"versus --peers shout", 2, `peer "shout"`},
		{"echo ws://127.0.0.1:1/ -d 1s", 1, "connection refused"},
	} {
		got := finish(t, nil, append([]string{"bench"}, strings.Fields(tt.args)...)...)
		if got.code != tt.code || !strings.Contains(got.stderr, tt.says) || got.stdout != "" || strings.Contains(got.stderr, "wonderland") {
			t.Errorf("usher bench %s: got %+v, want exit code %d and %q", tt.args, got, tt.code, tt.says)
		}
	}
}

// TestBenchToken: tokens are minted with the server's secret, one for each.
func TestBenchToken(t *testing.T) {
	t.Parallel()
	p := serve(t, "--echo-auth", "/auth", "--rate", "0", "--max-conns-per-user", "1")
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, code := measured(t, "echo", "ws://"+p.addr+"/auth", "-d", "200ms", "--warmup", "0", "--conns", "5", "--secret-file", file)
	if code != 0 || !r.OK || r.figure("server_fds") < 5 {
		t.Errorf("exit code %d, got %+v", code, r)
	}
}

// TestBenchFanout measures the chat.
func TestBenchFanout(t *testing.T) {
	t.Parallel()
	p := serve(t, "--rate", "0")
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	r, code := measured(t, "fanout", "ws://"+p.addr+"/ws/lobby", "-d", "300ms", "--warmup", "0", "--conns", "20", "--window", "4", "--secret-file", file)
	if code != 0 || !r.OK || r.figure("published") == 0 || r.figure("last_max") == 0 {
		t.Errorf("exit code %d, got %+v", code, r)
	}
}

// TestBenchInterrupted: a signal ends the measuring with a report of what there is.
func TestBenchInterrupted(t *testing.T) {
	t.Parallel()
	p := serve(t, "--echo", "/echo")
	cmd := usher(t, "bench", "echo", "ws://"+p.addr+"/echo", "-d", "10m", "--warmup", "0", "--conns", "5", "--json")
	stdout, stderr := newTranscript(), newTranscript()
	cmd.Stdout, cmd.Stderr = stdout, stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case <-stderr.await("measuring"):
	case <-time.After(patience):
		t.Errorf("no measuring: %s", stderr)
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("got %v\n%s", err, stderr)
		}
	case <-time.After(patience):
		cmd.Process.Kill()
		t.Fatalf("it does not end: %v", <-done)
	}
	var r benchReport
	if err := json.Unmarshal([]byte(stdout.String()), &r); err != nil || !r.Cut || r.figure("messages") == 0 {
		t.Errorf("%v, got %+v", err, r)
	}
}
