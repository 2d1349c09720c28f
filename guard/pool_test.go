//go:build linux

package guard

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/sys/unix"
)

// echoes is an application that lets everybody in; what it has let in it echoes.
var echoes = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	if !websocket.IsWebSocketUpgrade(r) {
		b, _ := io.ReadAll(r.Body)
		_, _ = w.Write(append([]byte(r.Method+" "), b...))
		return
	}
	if c, err := new(websocket.Upgrader).Upgrade(w, r, nil); err == nil {
		defer c.Close()
		echo(c)
	}
})

// program is an application that can be ended, with all its connections, and begun again at the
// same address.
type program struct {
	testing.TB
	addr    string
	handler http.Handler

	mu    sync.Mutex
	srv   *httptest.Server
	conns map[net.Conn]bool
}

// reserve returns a program that has not begun.
func reserve(t testing.TB, handler http.Handler) *program {
	t.Helper()
	p := &program{TB: t, handler: handler, conns: make(map[net.Conn]bool)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	l.Close()
	t.Cleanup(p.kill)
	return p
}

func (p *program) url() string { return "http://" + p.addr }

func (p *program) begin() {
	p.Helper()
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		p.Fatal(err)
	}
	p.srv = httptest.NewUnstartedServer(p.handler)
	p.srv.Listener.Close()
	p.srv.Listener = l
	p.srv.Config.ConnState = func(c net.Conn, s http.ConnState) { // hijacked ones are not the server's any more
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.conns[c] = true; s == http.StateClosed {
			delete(p.conns, c)
		}
	}
	p.srv.Start()
}

func (p *program) kill() {
	if p.srv == nil {
		return
	}
	p.srv.Listener.Close()
	p.mu.Lock()
	for c := range p.conns {
		c.Close()
	}
	clear(p.conns)
	p.mu.Unlock()
	p.srv.Close()
	p.srv = nil
}

// knock asks for a WebSocket, and returns it or the refusal: its status and its code.
func knock(t testing.TB, url string) (c *websocket.Conn, status int, code string, header http.Header) {
	t.Helper()
	return knockBy(t, websocket.DefaultDialer, url)
}

func knockBy(t testing.TB, d *websocket.Dialer, url string) (c *websocket.Conn, status int, code string, header http.Header) {
	t.Helper()
	c, resp, err := d.Dial(url, nil)
	if err == nil {
		t.Cleanup(func() { c.Close() })
		return c, 101, "", resp.Header
	}
	if resp == nil {
		t.Fatalf("no answer: %v", err)
	}
	return nil, resp.StatusCode, codeIn(resp), resp.Header
}

func codeIn(resp *http.Response) string {
	var problem struct{ Code string }
	_ = json.NewDecoder(resp.Body).Decode(&problem)
	return problem.Code
}

// probes asks what an upgrade would be told.
func probes(t testing.TB, url string) (status int, code string) {
	t.Helper()
	r, _ := http.NewRequest("GET", "http"+strings.TrimPrefix(url, "ws"), nil)
	r.Header.Set("Accept", "application/problem+json")
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode, codeIn(resp)
}

// eventually waits until something holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Hour); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// TestRestart: of an application that is killed and begun again clients are told, and those that
// come then are let in at once, without waiting for the end of its rest.
func TestRestart(t *testing.T) {
	app := reserve(t, echoes)
	app.begin()
	p := open(t, Upstreams{URLs: []string{app.url()}})
	url := front(t, &Guard{Upstream: p}, new(server.Server))
	for range 2 {
		c, status, _, _ := knock(t, url)
		if status != 101 {
			t.Fatalf("got %d", status)
		}
		if status, code := probes(t, url); status != 200 || code != "ok" {
			t.Errorf("a probe is told %d %s", status, code)
		}
		if err := p.Ready(); err != nil {
			t.Errorf("it answers, and %v", err)
		}
		app.kill()
		if _, _, err := c.ReadMessage(); err == nil || !strings.Contains(err.Error(), "1014") {
			t.Errorf("its client heard %v", err)
		}
		for range 3 {
			_, status, code, header := knock(t, url)
			if after := header.Get("Retry-After"); status != 502 || code != CodeUnreachable || after == "" || after == "0" {
				t.Errorf("got %d %s, Retry-After %q", status, code, after)
			}
			if status, code := probes(t, url); status != 502 || code != CodeUnreachable {
				t.Errorf("a probe is told %d %s", status, code)
			}
		}
		if p.Ready() == nil {
			t.Error("it is down, and the guard is ready")
		}
		app.begin()
	}
	if c, status, _, _ := knock(t, url); status != 101 {
		t.Errorf("got %d of one that is back", status)
	} else {
		c.Close()
	}
	eventually(t, "nobody is connected", func() bool { return p.Stats().Upstreams[0].Conns == 0 })
	if s := p.Stats().Upstreams[0]; s.Answered != 5 || s.Failed["refused"] == 0 || s.Up != 1 || s.Addresses != 1 {
		t.Errorf("counted: %+v", s)
	}
}

// TestUpstreamIsKnown: callbacks can ask where a connection leads, to its end and however that
// comes.
func TestUpstreamIsKnown(t *testing.T) {
	app := reserve(t, echoes)
	app.begin()
	p := open(t, Upstreams{URLs: []string{app.url()}})
	told := make(chan string, 10)
	srv := &server.Server{}
	g := &Guard{Upstream: p}
	srv.Route("/known", server.Route{
		Relay: g.Relay(),
		Open:  func(c server.Conn) error { told <- c.Upstream(); return nil },
		Close: func(c server.Conn, _ error) { told <- c.Upstream() },
	})
	url := front(t, g, srv) + "/known"
	for _, end := range []func(c *websocket.Conn){
		func(*websocket.Conn) { app.kill(); app.begin() },
		func(c *websocket.Conn) { c.Close() },
	} {
		c, _, _, _ := knock(t, url)
		if c == nil {
			t.Fatal("it is refused")
		}
		end(c)
		for _, when := range []string{"Open", "Close"} {
			if got := <-told; got != app.url() {
				t.Errorf("in %s: got %q", when, got)
			}
		}
	}
}

// TestReadyAgain: nobody has to ask for an upstream to be found again.
func TestReadyAgain(t *testing.T) {
	app := reserve(t, echoes)
	p := open(t, Upstreams{URLs: []string{app.url()}})
	eventually(t, "it is found to be down", func() bool { return p.Ready() != nil })
	app.begin()
	eventually(t, "it is found to be up", func() bool { return p.Ready() == nil })
}

// TestOneOfThree: of three, one refuses, one accepts and says nothing, and one answers. Nobody
// meets the first, and the second only those few that find out about it.
func TestOneOfThree(t *testing.T) {
	good, gone := reserve(t, echoes), reserve(t, echoes)
	good.begin()
	hanging, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hanging.Close()
	p := open(t, Upstreams{URLs: []string{gone.url(), "http://" + hanging.Addr().String(), good.url()}, Timeout: time.Second})
	url := front(t, &Guard{Upstream: p}, new(server.Server))
	in, late := 0, int64(0)
	for in < 20 || late < 1 {
		isOdd := false
		_, status, code, _ := knock(t, url)
		switch {
		case status == 101:
			in++
		case status == 504 && code == CodeTimeout:
			late++
		default:
			isOdd = true
		}
		if n := p.Stats().Upstreams[2].Failed; n["timeout"]+n["connect_timeout"] > 0 {
			t.Skip("this machine is too slow to tell who hangs")
		}
		if isOdd {
			t.Fatalf("got %d %s", status, code)
		}
	}
	if s := p.Stats(); s.Upstreams[1].Failed["timeout"] < late || s.Upstreams[2].Answered != int64(in) {
		t.Errorf("counted: %+v; %d were let in, %d were late", s, in, late)
	}
	if p.Ready() != nil {
		t.Error("one answers, and the guard is not ready")
	}
}

// TestHanging: a probe is told of an upstream that can be connected to and does not answer, also by a
// guard that has asked it nothing yet.
func TestHanging(t *testing.T) {
	hanging, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hanging.Close()
	p := open(t, Upstreams{URLs: []string{"http://" + hanging.Addr().String()}, Timeout: 500 * time.Millisecond})
	url := front(t, &Guard{Upstream: p}, new(server.Server))
	if status, code := probes(t, url); status != 504 || code != CodeTimeout {
		t.Errorf("before anybody knows, a probe is told %d %s", status, code)
	}
	if s := p.Stats().Upstreams[0]; s.Up != 1 || s.Failed["timeout"] != 1 {
		t.Errorf("of a plain request that takes its time nothing follows: got %+v", s)
	}
	for range 2 {
		if _, status, code, header := knock(t, url); status != 504 || code != CodeTimeout || header.Get("Retry-After") == "" {
			t.Errorf("got %d %s, %v", status, code, header)
		}
		if status, code := probes(t, url); status != 504 || code != CodeTimeout {
			t.Errorf("a probe is told %d %s", status, code)
		}
	}
}

// TestProbesAsk: the application gets a probe as the plain GET that it is, without the token; whatever
// it answers, somebody is there, and so if it hangs up.
func TestProbesAsk(t *testing.T) {
	const ok, is = `"code":"ok"`, "GET /app/a?x=1 HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nAccept: application/problem+json\r\nX-A: b\r\nX-Forwarded-For: 127.0.0.1\r\n"
	for answer, want := range map[string]string{
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n": ok, "HTTP/1.1 500 Oh\r\n\r\n": ok, "HTTP/1.1 101 X\r\nUpgrade: h2c\r\n\r\n": ok, "HTTP/1.": ok, "HT": ok, "": ok,
		"SSH-2.0-x\r\n": CodeInvalid, "X": CodeInvalid,
	} {
		app, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer app.Close()
		g := &Guard{
			Upstream: open(t, Upstreams{URLs: []string{"http://" + app.Addr().String()}}), Path: "/app/a",
			Forward: Forward{Params: []string{"token"}, Cookies: []string{"token"}},
		}
		_, addr, _ := strings.Cut(front(t, g, new(server.Server)), "://")
		asked := make(chan string, 1)
		go func() {
			for { // the first is the guard's look at it
				c, err := app.Accept()
				if err != nil {
					return
				}
				in := bufio.NewReader(c)
				var got strings.Builder
				for line := ""; err == nil && line != "\r\n"; {
					line, err = in.ReadString('\n')
					got.WriteString(line)
				}
				if got.Len() > 0 {
					asked <- got.String()
				}
				_, _ = io.WriteString(c, answer)
				c.Close()
			}
		}()
		c := say(t, addr, "GET /a?x=1&token=secret HTTP/1.1", "Host: a.example", "Accept: application/problem+json", "Cookie: token=secret", "Authorization: Bearer secret", "X-A: b")
		if _, body := hear(t, c, http.MethodGet); !strings.Contains(body, want) {
			t.Errorf("%q: got %s, want %s", answer, body, want)
		}
		if got := <-asked; !strings.HasPrefix(got, is) || strings.Contains(got, "secret") || strings.Contains(got, "Sec-") {
			t.Errorf("asked: %q, want %q", got, is)
		}
	}
}

// TestLeastConnections: newcomers come to the upstream with the fewest connections, of all loops.
func TestLeastConnections(t *testing.T) {
	a, b := reserve(t, echoes), reserve(t, echoes)
	a.begin()
	b.begin()
	p := open(t, Upstreams{URLs: []string{a.url(), b.url()}})
	url := front(t, &Guard{Upstream: p}, &server.Server{Loops: 2})
	conns := func() [2]int { s := p.Stats().Upstreams; return [2]int{s[0].Conns, s[1].Conns} }
	for range 10 {
		knock(t, url)
	}
	if got := conns(); got != [2]int{5, 5} {
		t.Fatalf("got %v", got)
	}
	a.kill()
	eventually(t, "they have gone", func() bool { return conns()[0] == 0 })
	a.begin()
	for range 5 {
		if _, status, _, _ := knock(t, url); status != 101 {
			t.Fatalf("got %d", status)
		}
	}
	if got := conns(); got != [2]int{5, 5} {
		t.Errorf("got %v", got)
	}
}

// TestDistrusted: an upstream with a certificate that nobody vouches for, or for another name.
func TestDistrusted(t *testing.T) {
	secure := httptest.NewTLSServer(echoes)
	defer secure.Close()
	p := open(t, Upstreams{URLs: []string{secure.URL}})
	url := front(t, &Guard{Upstream: p}, new(server.Server))
	if _, status, code, _ := knock(t, url); status != 502 || code != CodeUnreachable {
		t.Errorf("got %d %s", status, code)
	}
	if s := p.Stats().Upstreams[0]; s.Failed["tls"] == 0 && s.Up != 0 {
		t.Errorf("counted: %+v", s)
	}
	eventually(t, "it is found out", func() bool { return p.Ready() != nil })
}

// TestBusySocket: a unix socket with a full backlog is waited for, and then told from one where
// nobody listens.
func TestBusySocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: path}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	p := open(t, Upstreams{URLs: []string{"unix:" + path}, Timeout: 300 * time.Millisecond})
	url := front(t, &Guard{Upstream: p}, new(server.Server))
	for {
		d := net.Dialer{}
		c, err := d.Dial("unix", path)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if _, status, code, header := knock(t, url); status != 503 || code != CodeBusy || header.Get("Retry-After") == "" {
		t.Errorf("got %d %s, %v", status, code, header)
	}
	if s := p.Stats().Upstreams[0]; s.Failed["busy"] == 0 || s.Up != 1 {
		t.Errorf("counted: %+v", s)
	}
	p2 := open(t, Upstreams{URLs: []string{"unix:" + path}, Timeout: time.Hour})
	url = front(t, &Guard{Upstream: p2}, new(server.Server))
	status := make(chan int)
	go func() {
		_, n, _, _ := knock(t, url)
		status <- n
	}()
	eventually(t, "it has been tried", func() bool { return p2.Stats().Upstreams[0].Failed["busy"] > 1 })
	app := accepting(t, fd)
	defer app.Close()
	if n := <-status; n != 101 {
		t.Errorf("got %d when there was room", n)
	}
}

// accepting is an application on a listening socket.
func accepting(t *testing.T, fd int) *httptest.Server {
	f := os.NewFile(uintptr(fd), "socket")
	l, err := net.FileListener(f)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	app := httptest.NewUnstartedServer(echoes)
	app.Listener.Close()
	app.Listener = l
	app.Start()
	return app
}

// TestNames: names are looked up elsewhere than on a loop, again and again; each address counts.
func TestNames(t *testing.T) {
	app := reserve(t, echoes)
	app.begin()
	port := netip.MustParseAddrPort(app.addr).Port()
	_, text, _ := net.SplitHostPort(app.addr)
	var now atomic.Pointer[[]netip.Addr]
	lookUp := func(_ context.Context, _, host string) ([]netip.Addr, error) {
		if found := now.Load(); found != nil && host == "app.test" {
			return *found, nil
		}
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	p := openIn(t, Upstreams{URLs: []string{"http://app.test:" + text}}, resolver{lookUp, time.Millisecond, time.Millisecond})
	url := front(t, &Guard{Upstream: p}, new(server.Server))
	if _, status, code, _ := knock(t, url); status != 502 || code != CodeUnreachable {
		t.Errorf("of a name that leads nowhere: got %d %s", status, code)
	}
	now.Store(&[]netip.Addr{netip.IPv6Loopback(), netip.MustParseAddr("127.0.0.1")}) // nobody listens at ::1
	eventually(t, "it is looked up", func() bool { return p.Stats().Upstreams[0].Addresses == 2 })
	for range 4 {
		if _, status, code, _ := knock(t, url); status != 101 {
			t.Errorf("got %d %s", status, code)
		}
	}
	now.Store(&[]netip.Addr{netip.MustParseAddr("127.0.0.2")})
	eventually(t, "it has moved", func() bool { return p.Stats().Upstreams[0].Addresses == 1 })
	if s := p.Stats().Upstreams[0]; s.Conns != 4 {
		t.Errorf("connections to the address that is no more: %+v, want 4", s)
	}
	moved := &program{TB: t, addr: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.2"), port).String(), handler: echoes, conns: make(map[net.Conn]bool)}
	moved.begin()
	defer moved.kill()
	if _, status, code, _ := knock(t, url); status != 101 {
		t.Errorf("got %d %s", status, code)
	}
}

// local returns the path of an application's socket.
func local(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	app := httptest.NewUnstartedServer(echoes)
	app.Listener.Close()
	app.Listener = l
	app.Start()
	t.Cleanup(app.Close)
	return path
}

// TestPlain: requests that are no upgrades have the same upstreams. A body is sent once,
// whatever could not be connected to before.
func TestPlain(t *testing.T) {
	gone, good := reserve(t, echoes), reserve(t, echoes)
	good.begin()
	path := local(t)
	secure := httptest.NewTLSServer(echoes)
	defer secure.Close()
	roots := secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	for _, urls := range [][]string{{gone.url(), good.url()}, {"unix:" + path}, {secure.URL}} {
		p := open(t, Upstreams{URLs: urls, TLS: &tls.Config{RootCAs: roots}})
		web := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}, Transport: p})
		defer web.Close()
		for range 4 {
			want := bytes.Repeat([]byte("x"), 100_000)
			resp, err := http.Post(web.URL, "text/plain", bytes.NewReader(want))
			if err != nil {
				t.Fatal(err)
			}
			got, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != 200 || len(got) != len("POST ")+len(want) {
				t.Errorf("%q: got %d, %d bytes", urls, resp.StatusCode, len(got))
			}
		}
		eventually(t, "all is over", func() bool {
			n := 0
			for _, u := range p.Stats().Upstreams {
				n += u.Conns
			}
			return n == 0
		})
	}
}

// TestPlainInVain: what is told of requests that nobody answers, or not as they should.
func TestPlainInVain(t *testing.T) {
	gone := reserve(t, echoes)
	hanging, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hanging.Close()
	switching := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c, _, _ := w.(http.Hijacker).Hijack()
		_, _ = io.WriteString(c, "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n")
		c.Close()
	}))
	defer switching.Close()
	for url, want := range map[string]*upgrade.Rejection{
		gone.url(): errUnreachable, "http://" + hanging.Addr().String(): errTimeout, switching.URL: errInvalid,
	} {
		of := Upstreams{URLs: []string{url}}
		if want == errTimeout {
			of.Timeout = 500 * time.Millisecond
		}
		p := open(t, of)
		r, _ := http.NewRequest("GET", "http://h/", nil)
		_, err := p.RoundTrip(r)
		var e *upgrade.Rejection
		if !errors.As(err, &e) || e.Code != want.Code || e.StatusCode() != want.StatusCode() || e.RetryAfter <= 0 {
			t.Errorf("%s: got %v, want %v", url, err, want)
		}
		if n := p.Stats().Upstreams[0].Conns; n != 0 {
			t.Errorf("%s: %d connections are left", url, n)
		}
	}
	p := open(t, Upstreams{URLs: []string{"http://" + hanging.Addr().String()}, Timeout: time.Hour})
	ctx, cancel := context.WithCancel(context.Background())
	r, _ := http.NewRequestWithContext(ctx, "GET", "http://h/", nil)
	go func() {
		c, err := hanging.Accept()
		for err == nil { // of the look at the beginning, too
			if n, _ := c.Read(make([]byte, 1000)); n > 0 {
				cancel()
				return
			}
			c.Close()
			c, err = hanging.Accept()
		}
	}()
	if _, err := p.RoundTrip(r); !errors.Is(err, context.Canceled) || p.Stats().Upstreams[0].Conns != 0 {
		t.Errorf("of a client that has gone: %v", err)
	}
}
