//go:build linux

package main_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// TestNobodyReads: whatever standard output and error are, and even if nobody reads them, the
// program starts, answers, lives through signals and ends.
func TestNobodyReads(t *testing.T) {
	for _, c := range []struct {
		name string
		file func(t *testing.T) *os.File // for both of them
	}{
		{"full pipe", func(t *testing.T) *os.File { _, w := fullPipe(t); return w }},
		{"broken pipe", func(t *testing.T) *os.File { r, w := fullPipe(t); r.Close(); return w }},
		{"full disk", func(t *testing.T) *os.File { return opened(t, "/dev/full") }},
		{"read only", func(t *testing.T) *os.File { return opened(t, "/dev/null") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := usher(t, "serve", "--listen", "127.0.0.1:0", "--echo", "/echo", "--access-log")
			file := c.file(t)
			cmd.Stdout, cmd.Stderr = file, file
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			addr := listening(t, cmd)
			for k := range 20 {
				if k == 10 {
					for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGHUP, syscall.SIGPIPE} {
						cmd.Process.Signal(sig)
					}
				}
				resp, err := http.PostForm("http://"+addr+"/token", url.Values{"username": {"alice"}, "password": {"wrong"}})
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				ws, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/echo", nil)
				if err != nil {
					t.Fatal(err)
				}
				ws.WriteMessage(websocket.TextMessage, []byte("hi"))
				if _, b, err := ws.ReadMessage(); string(b) != "hi" {
					t.Fatalf("got %q, %v", b, err)
				}
				ws.Close()
			}
			cmd.Process.Signal(syscall.SIGTERM)
			if err := cmd.Wait(); err != nil {
				t.Errorf("its end: got %v, want 0", err)
			}
		})
	}
}

// A wrong command line ends with its exit code, even if nobody reads why.
func TestNobodyReadsWhy(t *testing.T) {
	_, w := fullPipe(t)
	cmd := usher(t, "serve", "--no-such-flag")
	cmd.Stderr = w
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 2 {
		t.Errorf("got %v, want 2", err)
	}
}

// fullPipe returns a pipe with no room in it.
func fullPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{4096, 1} {
		for err := error(nil); err == nil; {
			_, err = syscall.Write(fds[1], make([]byte, size))
		}
	}
	for _, fd := range fds {
		if err := syscall.SetNonblock(fd, false); err != nil { // as the program's is
			t.Fatal(err)
		}
	}
	r, w = os.NewFile(uintptr(fds[0]), "read end"), os.NewFile(uintptr(fds[1]), "write end")
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func opened(t *testing.T, name string) *os.File {
	t.Helper()
	flags := os.O_WRONLY
	if name == "/dev/null" {
		flags = os.O_RDONLY
	}
	f, err := os.OpenFile(name, flags, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// listening returns where a program listens whose output cannot be read.
func listening(t *testing.T, cmd *exec.Cmd) (addr string) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/", cmd.Process.Pid)
	eventually(t, "it listens", func() bool {
		table, err := os.ReadFile(dir + "net/tcp")
		if err != nil {
			t.Fatal(err)
		}
		fds, _ := os.ReadDir(dir + "fd")
		for _, fd := range fds {
			link, _ := os.Readlink(dir + "fd/" + fd.Name())
			inode, isSocket := strings.CutPrefix(link, "socket:[")
			for line := range strings.Lines(string(table)) {
				f := strings.Fields(line)
				if isSocket && f[3] == "0A" && f[9]+"]" == inode { // TCP_LISTEN
					var port int
					_, _ = fmt.Sscanf(f[1], "0100007F:%X", &port)
					addr = fmt.Sprintf("127.0.0.1:%d", port)
				}
			}
		}
		return addr != ""
	})
	return addr
}

// SIGHUP has the settings read again, and says so. The program logs what a drain does and how it went. Few
// clients are sent away in a fraction of --drain.
func TestSignalsAreToldOf(t *testing.T) {
	p := serve(t, "--echo", "/echo", "--drain", "1h")
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+p.addr+"/echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	p.signal(t, syscall.SIGHUP)
	<-p.stderr.await("the settings were read again")
	p.signal(t, syscall.SIGINT)
	line := <-p.stderr.await("draining")
	for _, want := range []string{"second signal", "signal=interrupt", "connections=1", "at_most=1h0m2s"} {
		if !strings.Contains(line, want) {
			t.Errorf("got %q, want %q in it", line, want)
		}
	}
	if _, _, err := ws.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseGoingAway) {
		t.Errorf("got %v, want 1001", err)
	}
	ws.Close()
	<-p.done // long before the hour
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(p.stderr.String(), `msg="server: drained"`) {
		t.Errorf("got %q", p.stderr)
	}
}

// TestLogLevel: records below --log-level are not in the log.
func TestLogLevel(t *testing.T) {
	for level, told := range map[string]bool{"debug": true, "info": true, "warn": false, "error": false} {
		p := serve(t, "--log-level", level)
		p.signal(t, syscall.SIGTERM)
		if code := p.exit(t, patience); code != 0 {
			t.Errorf("%s: exit code %d", level, code)
		}
		if got := p.stderr.String(); strings.Contains(got, "level=INFO") != told {
			t.Errorf("%s: got %q", level, got)
		}
	}
}

// TestOneBoundForTheDrain: whatever is left at the end is cut at one time, and the program
// ends with 0.
func TestOneBoundForTheDrain(t *testing.T) {
	_, full := fullPipe(t)
	cmd := usher(t, "serve", "--listen", "127.0.0.1:0", "--echo", "/echo", "--drain", "1s", "--access-log")
	cmd.Stdout, cmd.Stderr = io.Discard, full
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	addr := listening(t, cmd)
	for name, request := range map[string]string{
		"slow body":   "POST /token HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{",
		"unread page": "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
		"half a head": "GET / HT",
		"silence":     "",
		"websocket": "GET /echo HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
	} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, request); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	begin := time.Now()
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("its end: got %v, want 0", err)
	}
	t.Logf("it took %v", time.Since(begin)) // 3 s and little more, unless the machine is busy
}
