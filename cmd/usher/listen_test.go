//go:build linux

package main_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"
)

// overUnix makes connections to a unix socket, whatever address they are for.
func overUnix(path string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
}

// talkOver joins the chat over a connection that dial makes, is refused, and gets the page.
func talkOver(t *testing.T, dial func(context.Context, string, string) (net.Conn, error), host string) {
	t.Helper()
	d := gorilla.Dialer{NetDialContext: dial}
	conn, _, err := d.Dial("ws://"+host+"/ws/lobby?token="+token("alice"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.WriteMessage(gorilla.TextMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	for said := ""; said != "alice: hello"; {
		_, b, err := conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		said = string(b)
	}
	_, resp, err := d.Dial("ws://"+host+"/ws/lobby", nil)
	if err == nil || resp == nil || resp.StatusCode != http.StatusUnauthorized {
		t.Fatalf("without a token: got %v, %v", resp, err)
	}
	if b, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(b), "token_missing") {
		t.Errorf("without a token: got the body %q, %v", b, err)
	}
	web := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	page, err := web.Get("http://" + host + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer page.Body.Close()
	if b, err := io.ReadAll(page.Body); page.StatusCode != http.StatusOK || err != nil || len(b) == 0 {
		t.Errorf("the page: got %d, %d bytes, %v", page.StatusCode, len(b), err)
	}
}

// socketPath returns where a test's socket is to be: t.TempDir may be longer than an address.
func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "usher-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// TestUnixSocket: a unix socket is like any other place to listen. Its file has the mode that
// was asked for, is gone at the end, and does not keep the next program from starting if it
// is not.
func TestUnixSocket(t *testing.T) {
	t.Parallel()
	path := socketPath(t)
	p := serve(t, "--listen", "unix:"+path+"?mode=0640", "--max-conns-per-ip", "1", "--access-log")
	if info, err := os.Stat(path); err != nil || info.Mode() != os.ModeSocket|0o640 {
		t.Errorf("the file: got %v, %v", info.Mode(), err)
	}
	talkOver(t, overUnix(path), "localhost") // which takes several at once
	if said := p.stdout.String(); !strings.Contains(said, "listening on unix:"+path+"\n") {
		t.Errorf("it said %q", said)
	}
	if said := p.stderr.String(); !strings.Contains(said, "remote=unknown") || strings.Contains(said, "invalid AddrPort") {
		t.Errorf("a connection without an address is logged as\n%s", said)
	}

	second := finish(t, nil, "serve", "--listen", "unix:"+path)
	if second.code != 1 || !strings.Contains(second.stderr, "another program listens there") {
		t.Errorf("a second program on it: got %d, %q", second.code, second.stderr)
	}
	p.signal(t, syscall.SIGKILL)
	p.exit(t, patience)
	next := serve(t, "--listen", "unix:"+path)
	talkOver(t, overUnix(path), "localhost")

	// One that follows while this one is about to end has a file of its own.
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	last := serve(t, "--listen", "unix:"+path)
	next.signal(t, syscall.SIGTERM)
	if code := next.exit(t, patience); code != 0 {
		t.Errorf("the end: got %d", code)
	}
	talkOver(t, overUnix(path), "localhost")
	last.signal(t, syscall.SIGTERM)
	if code := last.exit(t, patience); code != 0 {
		t.Errorf("the end: got %d", code)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the end the file is there: %v", err)
	}

	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := finish(t, nil, "serve", "--listen", "unix:"+path); got.code != 1 || !strings.Contains(got.stderr, "no socket") {
		t.Errorf("a file in its place: got %d, %q", got.code, got.stderr)
	}
}

// TestUnixSocketAtOnce: of several programs that start at once over a stale file one gets the
// socket, and can be reached; the others say so.
func TestUnixSocketAtOnce(t *testing.T) {
	t.Parallel()
	const n = 6
	for range 5 {
		path := socketPath(t)
		stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		stale.SetUnlinkOnClose(false)
		stale.Close()
		ended := make(chan string, n)
		var all []*exec.Cmd
		for range n {
			cmd := usher(t, "serve", "--listen", "unix:"+path, "--users", "demo")
			said := newTranscript()
			cmd.Stderr = said
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			all = append(all, cmd)
			go func() {
				_ = cmd.Wait()
				ended <- said.String()
			}()
		}
		for range n - 1 {
			if said := <-ended; !strings.Contains(said, "another program listens there") {
				t.Errorf("one of several says %q", said)
			}
		}
		talkOver(t, overUnix(path), "localhost")
		for _, cmd := range all {
			_ = cmd.Process.Signal(syscall.SIGTERM)
		}
		<-ended
	}
}

// TestSystemdSockets: the sockets of a .socket unit are served, all or those of a name, and
// stay open for the next program.
func TestSystemdSockets(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("systemd-socket-activate"); err != nil {
		missing(t, "systemd-socket-activate", "not installed; see make deps")
	}
	path, admin := socketPath(t), socketPath(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	built, err := buildTested()
	if err != nil {
		t.Fatal(err)
	}
	cmd := command("systemd-socket-activate", "-E", "USHER_SECRET", "-l", addr, "-l", path, "-l", admin, "--fdname", "web:web:other",
		built, "serve", "--listen", "systemd:web", "--users", "demo")
	knock := time.NewTicker(50 * time.Millisecond)
	defer knock.Stop()
	done := make(chan struct{})
	defer close(done)
	go func() { // it starts the program when somebody comes
		for {
			select {
			case <-done:
				return
			case <-knock.C:
				if conn, err := net.Dial("tcp", addr); err == nil {
					conn.Close()
				}
			}
		}
	}()
	p := start(t, cmd)
	if p.addr != addr {
		t.Errorf("it listens on %s, want %s", p.addr, addr)
	}
	talkOver(t, nil, addr)
	talkOver(t, overUnix(path), "localhost")
	if said := p.stdout.String(); strings.Contains(said, admin) {
		t.Errorf("it took a socket of another name: %q", said)
	}
	if got := finish(t, nil, "serve", "--listen", "systemd:"); got.code != 1 || !strings.Contains(got.stderr, "no sockets") {
		t.Errorf("without sockets: got %d, %q", got.code, got.stderr)
	}
}

// passing runs the program with two sockets of ours as systemd would pass them.
func passing(t *testing.T, names, listen string) *exec.Cmd {
	t.Helper()
	built, err := buildTested()
	if err != nil {
		t.Fatal(err)
	}
	cmd := command("sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh", built, "serve", "--listen", listen, "--users", "demo")
	cmd.Env = append(cmd.Env, "LISTEN_FDS=2", "LISTEN_FDNAMES="+names)
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	return cmd
}

// TestPassedSocketsGoOn: what waits in the backlog of a socket that another process keeps is
// not lost at the end.
func TestPassedSocketsGoOn(t *testing.T) {
	t.Parallel()
	cmd := passing(t, "a:b", "systemd:b")
	kept, err := net.FileListener(cmd.ExtraFiles[1])
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	p := start(t, cmd)
	if p.addr != kept.Addr().String() {
		t.Fatalf("it listens on %s, want %v", p.addr, kept.Addr())
	}
	talkOver(t, nil, p.addr)
	p.signal(t, syscall.SIGTERM)
	if code := p.exit(t, patience); code != 0 {
		t.Errorf("the end: got %d", code)
	}
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	next, err := kept.Accept()
	if err != nil {
		t.Fatal(err)
	}
	next.Close()
	if said := endOf(t, passing(t, "a:b", "systemd:c")); !strings.Contains(said, `no socket named "c"`) {
		t.Errorf("a name that is not there: got %q", said)
	}
	many := passing(t, "", "systemd:")
	many.Env = append(many.Env, "LISTEN_FDS=2147483647")
	if said := endOf(t, many); !strings.Contains(said, "no sockets") {
		t.Errorf("more sockets than there can be: got %q", said)
	}
	if said := endOf(t, passing(t, "a:b", "systemd:,systemd:b")); !strings.Contains(said, "twice") {
		t.Errorf("a socket twice: got %q", said)
	}
}

// endOf runs a command that fails, and returns what it says.
func endOf(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	said, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("%q did not fail", cmd.Args)
	}
	return string(said)
}

// TestReusePort: two processes share what comes to a port, and both answer.
func TestReusePort(t *testing.T) {
	t.Parallel()
	first := serve(t, "--reuse-port", "--echo", "/echo")
	second := start(t, usher(t, "serve", "--listen", first.addr, "--reuse-port", "--echo", "/echo"))
	if got := finish(t, nil, "serve", "--listen", first.addr); got.code != 1 || !strings.Contains(got.stderr, "address already in use") {
		t.Errorf("without the flag: got %d, %q", got.code, got.stderr)
	}
	const n = 2000
	before := [2]int{first.sockets(t), second.sockets(t)}
	for range n {
		conn, _, err := gorilla.DefaultDialer.Dial("ws://"+first.addr+"/echo", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	a, b := first.sockets(t)-before[0], second.sockets(t)-before[1]
	if a+b != n || a < n/4 || b < n/4 {
		t.Errorf("of %d connections one has %d and the other %d", n, a, b)
	}
}

// TestNotify: a service manager is told when the service is ready, that it is well, and when
// it ends.
func TestNotify(t *testing.T) {
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
	cmd := usher(t, "serve", "--listen", "127.0.0.1:0")
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=20000")
	p := start(t, cmd)
	if got := hear(); got != "READY=1" {
		t.Errorf("first it says %q", got)
	}
	for range 3 {
		if got := hear(); got != "WATCHDOG=1" {
			t.Errorf("then it says %q", got)
		}
	}
	p.signal(t, syscall.SIGTERM)
	for got := hear(); got != "STOPPING=1"; got = hear() {
		if got != "WATCHDOG=1" {
			t.Fatalf("at the end it says %q", got)
		}
	}
	if code := p.exit(t, patience); code != 0 {
		t.Errorf("the end: got %d", code)
	}
}
