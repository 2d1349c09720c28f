//go:build linux

package server

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/poller"
	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/sys/unix"
)

func proxies(t testing.TB, list ...string) upgrade.Proxies {
	t.Helper()
	p, err := upgrade.ParseProxies(list)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// locating is a server whose routes say where a connection comes from: "/" says it in a
// message, "/http" by net/http, and anything else that is GET by Server.Answer.
func locating(s *Server) *Server {
	s.Route("/ws", Route{Open: func(c Conn) error { return c.Send(frame.OpText, []byte(c.RemoteAddr().String())) }, Message: echo})
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "http "+r.RemoteAddr) })
	s.Answer = func(dst []byte, r *upgrade.Request) []byte {
		if r.Path() != "/answer" {
			return dst
		}
		return fmt.Appendf(dst, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nanswer %v", r.RemoteAddr)
	}
	return s
}

// caller is a raw client that may speak for others.
type caller struct {
	testing.TB
	conn net.Conn
	in   *bufio.Reader
}

// call connects, and sends what is not empty.
func call(t testing.TB, network, addr string, parts ...string) *caller {
	t.Helper()
	conn, err := net.Dial(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	for _, part := range parts {
		io.WriteString(conn, part)
	}
	return &caller{t, conn, bufio.NewReader(conn)}
}

// request is a request for path with these lines, an upgrade if it is for /ws.
func request(path string, lines ...string) string {
	all := append([]string{"GET " + path + " HTTP/1.1", "Host: inner"}, lines...)
	if path == "/ws" {
		all = append(all, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
	}
	return strings.Join(all, "\r\n") + "\r\n\r\n"
}

// answer returns the status with which a request is answered, and where it came from or the
// body of a refusal; "" if the connection was closed.
func (c *caller) answer() (status int, text string) {
	c.Helper()
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return 0, ""
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			c.Error(err)
		}
		return resp.StatusCode, string(body)
	}
	head := make([]byte, 2)
	if _, err := io.ReadFull(c.in, head); err != nil {
		c.Fatal(err)
	}
	body := make([]byte, head[1])
	if _, err := io.ReadFull(c.in, body); err != nil {
		c.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

const (
	aliceV1 = "PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n"
	aliceV2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0f\xcb\x00\x71\x07\xc0\x00\x02\x01\x12\x67\x01\xbb\x04\x00\x00" // with a TLV of nothing
	alice   = "203.0.113.7:4711"
	bobV1   = "PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n"
	bob     = "[2001:db8::7]:4711"
	localV2 = "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
)

// TestProxyProtocol: byte by byte or at once, what is behind a PROXY header is served, for the
// address in it, by all that answers.
func TestProxyProtocol(t *testing.T) {
	s := locating(&Server{Loops: 2, ProxyProtocol: proxies(t, "127.0.0.0/8")})
	addr := start(t, s)
	for header, want := range map[string]string{aliceV1: alice, aliceV2: alice, bobV1: bob, localV2: "127.0.0.1:", "PROXY UNKNOWN\r\n": "127.0.0.1:"} {
		for path, prefix := range map[string]string{"/ws": "", "/http": "http ", "/answer": "answer "} {
			all := header + request(path)
			for _, parts := range [][]string{{all}, strings.Split(all, ""), {header, request(path)}, {all[:len(header)/2], all[len(header)/2:]}} {
				c := call(t, "tcp", addr, parts...)
				status, from := c.answer()
				isLocal := strings.HasSuffix(want, ":")
				if status == 0 || isLocal && from != prefix+c.conn.LocalAddr().String() || !isLocal && from != prefix+want {
					t.Errorf("%q in %d parts: got %d, %q, want %q", all, len(parts), status, from, prefix+want)
				}
				c.conn.Close()
			}
		}
	}
	for reason, n := range s.Stats().ProxyHeaderErrors {
		if n != 0 {
			t.Errorf("%d headers were %s", n, reason)
		}
	}
}

// TestProxyHeaderErrors: what is no PROXY header closes its connection, is counted by its
// reason, and once a minute the log has it.
func TestProxyHeaderErrors(t *testing.T) {
	log := new(journal)
	s := locating(&Server{ProxyProtocol: proxies(t, "127.0.0.1"), HandshakeTimeout: time.Hour, Logger: slog.New(slog.NewTextHandler(log, nil))})
	addr := start(t, s)
	for _, c := range []struct{ sent, reason string }{
		{request("/ws"), "missing"},
		{"\x16\x03\x01", "missing"},
		{"PROXY TCP4 x\r\n" + request("/ws"), "malformed"},
		{"PROXY " + strings.Repeat("x", 200), "too_large"},
	} {
		before := s.Stats().ProxyHeaderErrors[c.reason]
		if status, text := call(t, "tcp", addr, c.sent).answer(); status != 0 {
			t.Errorf("%q: got %d, %q", c.sent, status, text)
		}
		eventually(t, c.reason+" is counted", func() bool { return s.Stats().ProxyHeaderErrors[c.reason] == before+1 })
	}
	for _, sent := range []string{"", aliceV1[:20]} {
		before := s.Stats().ProxyHeaderErrors["ended"]
		call(t, "tcp", addr, sent).conn.(*net.TCPConn).CloseWrite()
		eventually(t, "it is counted that it ended", func() bool { return s.Stats().ProxyHeaderErrors["ended"] == before+1 })
	}
	// A header is none from anybody else.
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, aliceV1+request("/ws"))
	if status, text := (&caller{t, conn, bufio.NewReader(conn)}).answer(); status != 400 || !strings.Contains(text, "bad_request") {
		t.Errorf("from a stranger: got %d, %q", status, text)
	}
	if st := s.Stats(); st.Refused != 1 || st.ProxyHeaderErrors["missing"] != 2 {
		t.Errorf("got %d refusals and %v", st.Refused, st.ProxyHeaderErrors)
	}
	eventually(t, "the log is told", func() bool { return strings.Contains(log.String(), "did not begin with a PROXY header") })
	if said := log.String(); strings.Count(said, "did not begin with a PROXY header") != 1 || !strings.Contains(said, "reason=missing") {
		t.Errorf("the log has\n%s", said)
	}
}

// TestProxyHeaderLate: so is a header that does not come in time.
func TestProxyHeaderLate(t *testing.T) {
	s := locating(&Server{ProxyProtocol: proxies(t, "127.0.0.1"), HandshakeTimeout: 100 * time.Millisecond})
	addr := start(t, s)
	for k, sent := range []string{aliceV1[:20], ""} {
		if status, text := call(t, "tcp", addr, sent).answer(); status != 0 {
			t.Errorf("%q: got %d, %q", sent, status, text)
		}
		eventually(t, "it is counted", func() bool { return s.Stats().ProxyHeaderErrors["timeout"] == int64(k+1) })
	}
}

// TestTrustedProxies: what a trusted proxy says of the client counts for all that answers, and
// nobody else's word does.
func TestTrustedProxies(t *testing.T) {
	s := locating(&Server{Loops: 2, TrustedProxies: proxies(t, "127.0.0.1", "10.0.0.0/8")})
	addr := start(t, s)
	for path, prefix := range map[string]string{"/ws": "", "/http": "http ", "/answer": "answer "} {
		for _, c := range []struct{ line, want string }{
			{"X-Forwarded-For: 203.0.113.7", "203.0.113.7:0"},
			{"X-Forwarded-For: 1.1.1.1, 2001:db8::7, 10.0.0.9", "[2001:db8::7]:0"},
			{`Forwarded: for="[2001:db8::7]:99", for=10.0.0.9`, "[2001:db8::7]:0"},
		} {
			if _, from := call(t, "tcp", addr, request(path, c.line)).answer(); from != prefix+c.want {
				t.Errorf("%s, %s: got %q, want %q", path, c.line, from, prefix+c.want)
			}
		}
		c := call(t, "tcp", addr, request(path, "X-Forwarded-For: unknown"))
		if _, from := c.answer(); from != prefix+c.conn.LocalAddr().String() {
			t.Errorf("%s: got %q", path, from)
		}
		status, text := call(t, "tcp", addr, request(path, "X-Forwarded-For: 203.0.113.7", "Forwarded: for=203.0.113.8")).answer()
		if status != 400 || !strings.Contains(text, `"forwarded_conflict"`) {
			t.Errorf("%s: got %d, %q, want a conflict", path, status, text)
		}
	}
	untrusting := start(t, locating(new(Server)))
	c := call(t, "tcp", untrusting, request("/ws", "X-Forwarded-For: 203.0.113.7", "Forwarded: for=203.0.113.8"))
	if _, from := c.answer(); from != c.conn.LocalAddr().String() {
		t.Errorf("without trust: got %q", from)
	}
}

// TestProxyBehindProxy: the proxy that a PROXY header names may be one that is trusted.
func TestProxyBehindProxy(t *testing.T) {
	addr := start(t, locating(&Server{ProxyProtocol: proxies(t, "127.0.0.1"), TrustedProxies: proxies(t, "203.0.113.7")}))
	for header, want := range map[string]string{aliceV1: "198.51.100.1:0", bobV1: bob} {
		if _, from := call(t, "tcp", addr, header, request("/ws", "X-Forwarded-For: 198.51.100.1")).answer(); from != want {
			t.Errorf("%q: got %q, want %q", header, from, want)
		}
	}
	c := call(t, "tcp", addr, localV2, request("/ws", "X-Forwarded-For: 198.51.100.1"))
	if _, from := c.answer(); from != c.conn.LocalAddr().String() {
		t.Errorf("of itself: got %q", from)
	}
}

// TestProxiesOnUnixSockets: a proxy may come by a unix socket, which has no address.
func TestProxiesOnUnixSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	fd, err := poller.ListenUnix(path, os.ModePerm)
	if err != nil {
		t.Fatal(err)
	}
	s := locating(&Server{Listeners: []Listener{{FD: fd}}, TrustedProxies: proxies(t, "unix"), MaxConnsPerIP: 1})
	start(t, s)
	for _, lines := range [][]string{{"X-Forwarded-For: 203.0.113.7"}, {"X-Forwarded-For: 203.0.113.8"}, {}, {}} {
		status, from := call(t, "unix", path, request("/ws", lines...)).answer()
		want := "invalid AddrPort"
		if len(lines) > 0 {
			want = strings.TrimPrefix(lines[0], "X-Forwarded-For: ") + ":0"
		}
		if status != 101 || from != want {
			t.Errorf("%q: got %d, %q", lines, status, from)
		}
	}
	if status, _ := call(t, "unix", path, request("/ws", "X-Forwarded-For: 203.0.113.7")).answer(); status != 429 {
		t.Errorf("a second of one address: got %d", status)
	}
	if status, from := call(t, "tcp", s.Addrs()[0].String(), request("/ws", "X-Forwarded-For: 203.0.113.7")).answer(); status != 101 || !strings.HasPrefix(from, "127.0.0.1:") {
		t.Errorf("not on a unix socket: got %d, %q", status, from)
	}
}

// through says to a server on behalf of a client, by a PROXY header or X-Forwarded-For.
var through = map[string]func(client string) (header string, lines []string){
	"PROXY": func(client string) (string, []string) {
		family := map[bool]string{true: "TCP4", false: "TCP6"}[netip.MustParseAddr(client).Is4()]
		return fmt.Sprintf("PROXY %s %s %s 1 2\r\n", family, client, client), nil
	},
	"X-Forwarded-For": func(client string) (string, []string) { return "", []string{"X-Forwarded-For: " + client} },
}

// TestLimitsBehindProxies: limits by address hit the client, in IPv6 its /64, and not the proxy
// that all have in common.
func TestLimitsBehindProxies(t *testing.T) {
	for name, via := range through {
		s := locating(&Server{MaxConnsPerIP: 2, ConnRate: limiter.Rate{Limit: 1e-3, Burst: 3}})
		if name == "PROXY" {
			s.ProxyProtocol = proxies(t, "127.0.0.1")
		} else {
			s.TrustedProxies = proxies(t, "127.0.0.1")
		}
		addr := start(t, s)
		ask := func(client, path string) (*caller, int) {
			header, lines := via(client)
			c := call(t, "tcp", addr, header, request(path, lines...))
			status, text := c.answer()
			if status == 429 && !strings.Contains(text, "too_many_requests") {
				t.Errorf("%s, %s: got %q", name, client, text)
			}
			return c, status
		}
		for k := range 20 { // 20 clients of one proxy are more than either limit
			if _, status := ask(fmt.Sprint("203.0.113.", k), "/ws"); status != 101 {
				t.Errorf("%s, client %d: got %d", name, k, status)
			}
		}
		for _, same := range [][]string{{"198.51.100.1", "::ffff:198.51.100.1"}, {"2001:db8::1", "2001:db8::ffff:2"}} {
			var first *caller
			for k, want := range []int{101, 101, 429} {
				c, status := ask(same[k%2], "/ws")
				if status != want {
					t.Errorf("%s, %s, number %d: got %d, want %d", name, same[0], k, status, want)
				}
				if k == 0 {
					first = c
				}
			}
			first.conn.Close()
			from := networkOf(netip.MustParseAddr(same[0]))
			eventually(t, "its place is free", func() bool { return s.perIP.InUse(from) == 1 })
			// By now it has come so often that the rate is used up: a refused one has been charged, too,
			// if it was when it came.
			ask(same[0], "/http")
			if _, status := ask(same[0], "/http"); status != 429 {
				t.Errorf("%s, %s: comes too often, got %d", name, same[0], status)
			}
		}
		if _, status := ask("2001:db8:0:1::1", "/ws"); status != 101 {
			t.Errorf("%s: another /64: got %d", name, status)
		}
		if n := s.arrivals.WaitN(networkOf(netip.MustParseAddr("127.0.0.1")), time.Since(s.engine.Origin()), 3); n > 0 {
			t.Errorf("%s: the proxy was charged for others", name)
		}
	}
}

// TestSilentBehindProxy: those that say nothing behind their PROXY headers count for the client
// and not for the proxy, and beyond its limit have a second.
func TestSilentBehindProxy(t *testing.T) {
	s := locating(&Server{MaxConnsPerIP: 3, ProxyProtocol: proxies(t, "127.0.0.1"), HandshakeTimeout: -1})
	addr := start(t, s)
	type end struct {
		of     int
		status int
		from   string
	}
	var silent []*caller
	ends := make(chan end)
	for k := range 10 {
		c := call(t, "tcp", addr, aliceV1)
		silent = append(silent, c)
		go func() {
			status, from := c.answer()
			ends <- end{k, status, from}
		}()
	}
	for range 7 {
		e := <-ends
		if silent[e.of] = nil; e.status != 0 {
			t.Errorf("number %d got %d, %q", e.of, e.status, e.from)
		}
	}
	if status, _ := call(t, "tcp", addr, bobV1, request("/ws")).answer(); status != 101 {
		t.Errorf("another client got %d", status)
	}
	for _, c := range silent {
		if c == nil {
			continue
		}
		io.WriteString(c.conn, request("/ws"))
		if e := <-ends; e.status != 101 || e.from != alice {
			t.Errorf("one that has a place got %d, %q", e.status, e.from)
		}
	}
}

// TestPutOffBehindProxy: a request that Server.Answer puts off is what it was.
func TestPutOffBehindProxy(t *testing.T) {
	b := newBench(t, new(Server))
	b.l.door.gate.TrustedProxies = proxies(t, "unix")
	want := upgrade.Forwarded{RemoteAddr: netip.MustParseAddrPort("203.0.113.7:0"), Host: "a.example", Proto: "https"}
	var got []upgrade.Forwarded
	b.l.srv.Answer = func(dst []byte, r *upgrade.Request) []byte {
		got = append(got, r.Forwarded())
		return append(dst, "HTTP/1.1 200 OK\r\n\r\n"...)
	}
	for _, answered := range []int{0, answerBytesPerTurn} {
		b.l.door.answered = answered
		b.connect()
		b.send(request("/answer", "X-Forwarded-For: 203.0.113.7", "X-Forwarded-Host: a.example", "X-Forwarded-Proto: https"))
		readable(b)
		b.drive.After()
		b.drive.Wake()
		b.s.Cut(nil)
		unix.Close(b.peer)
		b.peer = -1
	}
	if !slices.Equal(got, []upgrade.Forwarded{want, want}) {
		t.Errorf("got %+v, want %+v twice", got, want)
	}
}
