//go:build linux

package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/gorilla/websocket"
)

// front is a way in which a proxy stands before the program.
type front struct {
	flags []string // of usher serve

	// start runs the proxy on the listening socket, before the TCP address of the program, and
	// before its unix socket, of which it uses one.
	start func(t *testing.T, on net.Listener, tcp, unix string)

	// forwards says that the proxy adds to X-Forwarded-For, else there are PROXY headers.
	forwards bool
}

var fronts = map[string]front{
	"nginx":              {[]string{"--trusted-proxy", "127.0.0.1"}, nginxTo("http://TCP"), true},
	"nginx by unix":      {[]string{"--trusted-proxy", "unix"}, nginxTo("http://unix:UNIX"), true},
	"HAProxy":            {[]string{"--trusted-proxy", "127.0.0.1"}, haproxyTo("http", "TCP"), true},
	"HAProxy by unix":    {[]string{"--trusted-proxy", "unix"}, haproxyTo("http", "unix@UNIX"), true},
	"HAProxy PROXY v1":   {[]string{"--proxy-protocol", "127.0.0.1"}, haproxyTo("tcp", "TCP send-proxy"), false},
	"HAProxy PROXY v2":   {[]string{"--proxy-protocol", "127.0.0.1/32"}, haproxyTo("tcp", "TCP send-proxy-v2"), false},
	"HAProxy PROXY unix": {[]string{"--proxy-protocol", "unix"}, haproxyTo("tcp", "unix@UNIX send-proxy-v2 proxy-v2-options unique-id,crc32c"), false},
	"HAProxy both": {[]string{"--proxy-protocol", "127.0.0.1", "--trusted-proxy", "127.0.0.1"},
		haproxyTo("http", "TCP send-proxy-v2"), false}, // a client's X-Forwarded-For is the client's: nobody trusts it
}

// nginxTo starts an nginx as operators have it.
func nginxTo(upstream string) func(t *testing.T, on net.Listener, tcp, unix string) {
	return func(t *testing.T, on net.Listener, tcp, unix string) {
		dir := t.TempDir()
		cmd := exec.Command(installed(t, "nginx"), "-e", "stderr", "-p", dir, "-c")
		cmd.Env = append(os.Environ(), "NGINX=3;") // the sockets that it has, as when it replaces itself
		user := ""                                 // of its worker; the sockets of root's tests are root's
		if os.Getuid() == 0 {
			user = "user root root;"
		}
		runBehind(t, on, dir, fmt.Sprintf(`
daemon off;
%[4]s
worker_processes 1;
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
	map $http_upgrade $connection_upgrade {
		default upgrade;
		"" close;
	}
	server {
		listen %[2]s;
		location / {
			proxy_pass %[3]s;
			proxy_http_version 1.1;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header Connection $connection_upgrade;
			proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
			proxy_set_header X-Forwarded-Host $http_host;
			proxy_set_header X-Forwarded-Proto $scheme;
		}
	}
}
`, dir, on.Addr(), upstreamAt(upstream, tcp, unix), user), cmd)
	}
}

// haproxyTo starts an HAProxy that has one server.
func haproxyTo(mode, server string) func(t *testing.T, on net.Listener, tcp, unix string) {
	return func(t *testing.T, on net.Listener, tcp, unix string) {
		dir := t.TempDir()
		cmd := exec.Command(installed(t, "haproxy"), "-db", "-f")
		forward := ""
		if mode == "http" {
			forward = "option forwardfor\n\thttp-request set-header X-Forwarded-Host %[req.hdr(Host)]\n\thttp-request set-header X-Forwarded-Proto http"
		}
		runBehind(t, on, dir, fmt.Sprintf(`
defaults
	mode %s
	timeout connect 1h
	timeout client 1h
	timeout server 1h
	unique-id-format %%[rand]
listen front
	bind fd@3
	%s
	server usher %s
`, mode, forward, upstreamAt(server, tcp, unix)), cmd)
	}
}

// upstreamAt puts the addresses of the program where its kinds are.
func upstreamAt(text, tcp, unix string) string {
	return strings.NewReplacer("TCP", tcp, "UNIX", unix).Replace(text)
}

// runBehind runs a proxy that has the listening socket for its descriptor 3, and closes it here,
// so that nobody waits in it when the proxy has ended.
func runBehind(t *testing.T, on net.Listener, dir, configuration string, cmd *exec.Cmd) {
	t.Helper()
	f, err := on.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	defer on.Close()
	cmd.ExtraFiles = []*os.File{f}
	runProxy(t, dir, configuration, cmd)
}

// visitor is a client behind a proxy, with an address of its own.
type visitor struct {
	testing.TB
	proxy string
	net.Dialer
}

func (v *visitor) http() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: v.DialContext, DisableKeepAlives: true}}
}

// dial opens a WebSocket, or returns the status and the code with which it was refused.
func (v *visitor) dial(path string, header http.Header) (c *websocket.Conn, status int, code string) {
	v.Helper()
	d := websocket.Dialer{NetDialContext: v.DialContext}
	c, resp, err := d.Dial("ws://"+v.proxy+path, header)
	if err == nil {
		v.Cleanup(func() { c.Close() })
		return c, resp.StatusCode, ""
	}
	if resp == nil {
		v.Fatalf("%s: %v", path, err)
	}
	var problem struct{ Code string }
	if err := json.NewDecoder(resp.Body).Decode(&problem); err != nil {
		v.Errorf("%s: %d, the body: %v", path, resp.StatusCode, err)
	}
	return nil, resp.StatusCode, problem.Code
}

// TestBehindProxies: behind nginx and HAProxy, with X-Forwarded-For and PROXY headers, over TCP
// and unix sockets, clients have all they have without, and count for themselves.
func TestBehindProxies(t *testing.T) {
	t.Parallel()
	for name, f := range fronts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			socket := filepath.Join(dir, "usher")
			flags := append([]string{"--listen", "unix:" + socket, "--echo", "/echo", "--rooms", "lobby", "--max-conns-per-ip", "3",
				"--access-log", "--drain", "1s"}, f.flags...)
			p := serve(t, flags...)
			on, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			f.start(t, on, p.addr, socket)
			alice, bob := &visitor{TB: t, proxy: on.Addr().String()}, &visitor{TB: t, proxy: on.Addr().String()}
			alice.LocalAddr, bob.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 1, 1)}, &net.TCPAddr{IP: net.IPv4(127, 0, 1, 2)}
			token := alice.logsIn()
			alice.isRefused(token)
			alice.echoes(1000)
			alice.guesses(bob)
			alice.countsAlone(bob)
			for _, who := range []string{"127.0.1.1", "127.0.1.2"} {
				eventually(t, "the log has "+who, func() bool { return strings.Contains(p.stderr.String(), "remote="+who) })
			}
			if said := p.stderr.String(); strings.Contains(said, "remote=127.0.0.1") || strings.Contains(said, "remote=unknown") || strings.Contains(said, "203.0.113") {
				t.Error("the log has addresses that are no client's")
			}
			alice.contradicts(f.forwards)
			bob.isSentAway(p)
		})
	}
}

// logsIn sees the page, and returns the token of a log-in.
func (v *visitor) logsIn() (token string) {
	v.Helper()
	resp, err := v.http().Get("http://" + v.proxy + "/")
	if err != nil {
		v.Fatal(err)
	}
	page, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || resp.StatusCode != 200 || !strings.Contains(string(page), "</html>") {
		v.Errorf("the page: %d, %d bytes, %v", resp.StatusCode, len(page), err)
	}
	status, token := v.asksForToken("wonderland")
	if status != 200 || token == "" {
		v.Fatalf("the log-in: %d", status)
	}
	return token
}

// asksForToken logs in as alice, from the page.
func (v *visitor) asksForToken(password string) (status int, token string) {
	v.Helper()
	form := strings.NewReader(url.Values{"username": {"alice"}, "password": {password}}.Encode())
	req, err := http.NewRequest("POST", "http://"+v.proxy+"/token", form)
	if err != nil {
		v.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", "http://"+v.proxy) // which is not the Host that nginx asks for
	resp, err := v.http().Do(req)
	if err != nil {
		v.Fatal(err)
	}
	defer resp.Body.Close()
	var grant struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&grant); err != nil {
		v.Errorf("the log-in: %d, %v", resp.StatusCode, err)
	}
	return resp.StatusCode, grant.Token
}

// guesses passwords until it may not any more, which another does not notice.
func (v *visitor) guesses(another *visitor) {
	v.Helper()
	for n := 0; ; n++ {
		status, _ := v.asksForToken("guess")
		if status == 429 && n > 0 {
			break
		}
		if status != 401 || n > 1000 { // 10, and 10 a minute meanwhile
			v.Fatalf("guess %d: got %d", n, status)
		}
	}
	if status, _ := another.asksForToken("wonderland"); status != 200 {
		v.Errorf("another address logs in: got %d", status)
	}
}

// isRefused is told why, wherever it may not go, and is let in where it may.
func (v *visitor) isRefused(token string) {
	v.Helper()
	for _, c := range []struct {
		path, origin, forwarded string
		status                  int
		code                    string
	}{
		{"/ws/lobby", "", "", 401, "token_missing"},
		{"/ws/lobby?token=x", "", "", 401, "token_invalid"},
		{"/ws/cellar?token=" + token, "", "", 404, "room_unknown"},
		{"/nowhere", "", "", 404, "not_found"},
		{"/ws/lobby?token=" + token, "http://elsewhere.example", "", 403, "origin_not_allowed"},
		{"/ws/lobby?token=" + token, "http://" + v.proxy, "", 101, ""},
	} {
		header := http.Header{}
		if c.origin != "" {
			header.Set("Origin", c.origin)
		}
		conn, status, code := v.dial(c.path, header)
		if status != c.status || code != c.code {
			v.Errorf("%s of %q: got %d %s, want %d %s", c.path, c.origin, status, code, c.status, c.code)
		}
		if conn != nil {
			if _, text, err := conn.ReadMessage(); err != nil || string(text) != "Server: alice has joined the chat" {
				v.Errorf("%s: got %q, %v", c.path, text, err)
			}
			conn.Close()
		}
	}
}

// echoes hears as many echoes as it asks for.
func (v *visitor) echoes(n int) {
	v.Helper()
	c, status, code := v.dial("/echo", nil)
	if c == nil {
		v.Fatalf("got %d, %s", status, code)
	}
	defer c.Close()
	for k := range n {
		want := fmt.Sprint("number ", k)
		if err := c.WriteMessage(websocket.TextMessage, []byte(want)); err != nil {
			v.Fatal(err)
		}
		if _, got, err := c.ReadMessage(); err != nil || string(got) != want {
			v.Fatalf("got %q, %v, want %q", got, err, want)
		}
	}
}

// countsAlone has as many connections as an address may have, and no more, whatever it says of
// itself, while another has its own.
func (v *visitor) countsAlone(another *visitor) {
	v.Helper()
	free := 0
	eventually(v, "its places are free", func() bool { // those before have yet to leave
		for free < 3 {
			if _, status, _ := v.dial("/echo", nil); status != 101 {
				return false
			}
			free++
		}
		return true
	})
	for _, spoofed := range []http.Header{
		nil, {"X-Forwarded-For": {"203.0.113.7"}}, {"X-Forwarded-For": {"203.0.113.7, 127.0.0.1"}}, {"X-Forwarded-For": {"203.0.113.7", "203.0.113.8"}},
	} {
		if _, status, code := v.dial("/echo", spoofed); status != 429 || code != "too_many_requests" {
			v.Errorf("one more with %q: got %d %s", spoofed, status, code)
		}
	}
	if _, status, _ := another.dial("/echo", nil); status != 101 {
		v.Errorf("another address: got %d", status)
	}
}

// contradicts says by Forwarded, which the proxy passes on, that it is somebody else.
func (v *visitor) contradicts(forwards bool) {
	v.Helper()
	want := "429 too_many_requests" // it has all its places
	if forwards {
		want = "400 forwarded_conflict"
	}
	if _, status, code := v.dial("/echo", http.Header{"Forwarded": {"for=203.0.113.7"}}); fmt.Sprint(status, " ", code) != want {
		v.Errorf("with Forwarded: got %d %s, want %s", status, code, want)
	}
}

// isSentAway sees through the proxy that the program drains.
func (v *visitor) isSentAway(p *program) {
	v.Helper()
	c, status, code := v.dial("/echo", nil)
	if c == nil {
		v.Fatalf("got %d %s", status, code)
	}
	p.signal(v, syscall.SIGTERM)
	_, _, err := c.ReadMessage()
	if e, ok := err.(*websocket.CloseError); !ok || e.Code != 1001 || !drainReason.MatchString(e.Text) {
		v.Errorf("got %v, want close 1001", err)
	}
	if code := p.exit(v, patience); code != 0 {
		v.Errorf("exit code %d", code)
	}
}
