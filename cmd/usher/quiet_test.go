//go:build linux

package main_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// proxyTimeout is the silence after which a proxy here cuts a connection. A ping has the same
// time to arrive, on a machine that is busy with other things.
const proxyTimeout = 10 * time.Second

// TestQuietBehindProxies: behind a proxy that cuts silent connections, a client that says
// nothing stays, because it is pinged; without pings it is cut.
func TestQuietBehindProxies(t *testing.T) {
	t.Parallel()
	for name, proxy := range map[string]func(t *testing.T, upstream string, timeout time.Duration) string{
		"nginx": startNginx, "haproxy": startHAProxy,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mute := serve(t, "--echo", "/echo", "--ping-interval", "0", "--idle-timeout", "0")
			for range joinQuiet(t, proxy(t, mute.addr, time.Second)).heard {
				t.Error("without pings: something came")
			}
			p := serve(t, "--echo", "/echo", "--ping-interval", "1s")
			c := joinQuiet(t, proxy(t, p.addr, proxyTimeout))
			for range 2 + int(proxyTimeout/(800*time.Millisecond)) { // they come so far apart at least
				c.want(t, "ping")
			}
			c.stays(t)
		})
	}
}

// TestQuiet is TestQuietBehindProxies with the defaults of each proxy and of usher serve, for
// a while.
func TestQuiet(t *testing.T) {
	while, err := time.ParseDuration(os.Getenv("USHER_QUIET"))
	if err != nil {
		t.Skip("make quiet runs it: USHER_QUIET says for how long")
	}
	p := start(t, usher(t, "serve", "--listen", "127.0.0.1:0", "--echo", "/echo"))
	for name, proxy := range map[string]func(t *testing.T, upstream string, timeout time.Duration) string{
		"nginx": startNginx, "haproxy": startHAProxy, "caddy": startCaddy,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := joinQuiet(t, proxy(t, p.addr, 0))
			for begun := time.Now(); time.Since(begun) < while; {
				c.want(t, "ping")
				t.Logf("pinged after %v", time.Since(begun).Round(time.Millisecond))
			}
			c.stays(t)
		})
	}
}

// quiet is a client behind a proxy that answers pings and says nothing by itself.
type quiet struct {
	conn  *websocket.Conn
	heard chan string // "ping" and messages; closed at the end
}

// joinQuiet connects through the proxy that listens at the path.
func joinQuiet(t *testing.T, path string) *quiet {
	t.Helper()
	d := websocket.Dialer{NetDial: func(string, string) (net.Conn, error) { return net.Dial("unix", path) }}
	conn, resp, err := d.Dial("ws://proxy/echo", nil)
	if err != nil {
		t.Fatalf("through the proxy: %v (%v)", err, resp)
	}
	q := &quiet{conn, make(chan string, 1000)}
	answer := conn.PingHandler()
	conn.SetPingHandler(func(text string) error {
		q.heard <- "ping"
		return answer(text)
	})
	go func() {
		defer close(q.heard)
		for {
			_, text, err := conn.ReadMessage()
			if err != nil {
				return
			}
			q.heard <- string(text)
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		for range q.heard { // until the reader has seen the end
		}
	})
	return q
}

// want waits for something to be heard.
func (q *quiet) want(t *testing.T, what string) {
	t.Helper()
	if got, ok := <-q.heard; got != what {
		t.Fatalf("got %q (%t), want %q", got, ok, what)
	}
}

// stays sends a message, to see that the client is still there.
func (q *quiet) stays(t *testing.T) {
	t.Helper()
	if err := q.conn.WriteMessage(websocket.TextMessage, []byte("still here")); err != nil {
		t.Fatal(err)
	}
	for got := range q.heard {
		if got == "still here" {
			return
		}
	}
	t.Fatal("it was cut")
}

// startNginx starts an nginx before upstream and returns the path of its socket. It cuts a
// connection after this much silence; 0 is its default, 60 s.
func startNginx(t *testing.T, upstream string, timeout time.Duration) string {
	t.Helper()
	path := installed(t, "nginx")
	dir, cut := t.TempDir(), ""
	if timeout > 0 {
		cut = fmt.Sprintf("proxy_read_timeout %ds;", timeout/time.Second)
	}
	return startProxy(t, dir, fmt.Sprintf(`
daemon off;
master_process off;
pid %[1]s/pid;
error_log stderr;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		listen unix:%[1]s/socket;
		location / {
			proxy_pass http://%[2]s;
			proxy_http_version 1.1;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection upgrade;
			%[3]s
		}
	}
}
`, dir, upstream, cut), path, "-e", "stderr", "-p", dir, "-c")
}

// startHAProxy is startNginx for HAProxy. It has no default of its own, but Debian's
// haproxy.cfg has one, 50 s.
func startHAProxy(t *testing.T, upstream string, timeout time.Duration) string {
	t.Helper()
	path := installed(t, "haproxy")
	dir := t.TempDir()
	if timeout == 0 {
		timeout = 50 * time.Second
	}
	return startProxy(t, dir, fmt.Sprintf(`
defaults
	mode http
	timeout connect 20s
	timeout client %[3]dms
	timeout server %[3]dms
listen quiet
	bind unix@%[1]s/socket
	server usher %[2]s
`, dir, upstream, timeout.Milliseconds()), path, "-db", "-f")
}

// startCaddy is startNginx for Caddy, which cuts no WebSocket, however silent it is.
func startCaddy(t *testing.T, upstream string, _ time.Duration) string {
	t.Helper()
	path, dir := installed(t, "caddy"), t.TempDir()
	return startProxy(t, dir, fmt.Sprintf(`{
	admin off
}
http:// {
	bind unix/%[1]s/socket
	reverse_proxy %[2]s
}
`, dir, upstream), path, "run", "--adapter", "caddyfile", "--config")
}

// startProxy runs a proxy with a configuration, whose path goes behind args, until the
// test ends. It returns when its socket is there.
func startProxy(t *testing.T, dir, configuration, program string, args ...string) string {
	t.Helper()
	socket := filepath.Join(dir, "socket")
	cmd := exec.Command(program, args...)
	cmd.Env = append(cmd.Environ(), "XDG_CONFIG_HOME="+dir, "XDG_DATA_HOME="+dir) // where Caddy writes
	runProxy(t, dir, configuration, cmd)
	eventually(t, program+" listens", func() bool {
		c, err := net.Dial("unix", socket)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return socket
}

// installed returns where a proxy is; if it is nowhere the test is skipped.
func installed(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + name); err != nil { // not on everybody's PATH
			missing(t, name, "not installed; see make deps")
		}
	}
	return path
}

// runProxy runs a proxy, whose last argument is the path of its configuration, until the test
// ends.
func runProxy(t *testing.T, dir, configuration string, cmd *exec.Cmd) {
	t.Helper()
	file := filepath.Join(dir, "conf")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	said := newTranscript()
	cmd.Args = append(cmd.Args, file)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM) // which its workers hear of
		cmd.Wait()
		if t.Failed() {
			t.Logf("%q said:\n%s", cmd.Args, tail(said.String(), 8<<10))
		}
	})
}
