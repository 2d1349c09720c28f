//go:build linux

package server

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/record"
	"github.com/usher-ws/usher/upgrade"
)

// dialTLS does a handshake.
func dialTLS(t testing.TB, addr string) *tls.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", addr, anyone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestCutShort: a body that ends without a close_notify may have been cut short, and net/http is
// told so. Its answer comes all the same, and nothing is left of the connection.
func TestCutShort(t *testing.T) {
	for name, tt := range map[string]struct {
		request string
		want    error
	}{
		"half a body":           {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nhalf", record.ErrTruncated},
		"a body without an end": {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", record.ErrTruncated},
		"no body":               {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			heard := make(chan error, 1)
			addr := start(t, withTLS(&Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, err := io.Copy(io.Discard, r.Body)
				heard <- err
				io.WriteString(w, "thanks")
			})}))
			c := dialTLS(t, addr)
			io.WriteString(c, tt.request)
			if err := c.NetConn().(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if err := <-heard; err != tt.want {
				t.Errorf("the handler reads %v, want %v", err, tt.want)
			}
			if all, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(all), "thanks") {
				t.Errorf("answer: %q, %v", all, err)
			}
		})
	}
}

// TestSecureProxyProtocol: a PROXY header comes before the hello, however both are cut, and the
// address in it is the client's for all that answers behind the handshake.
func TestSecureProxyProtocol(t *testing.T) {
	s := withTLS(locating(&Server{Loops: 2, ProxyProtocol: proxies(t, "127.0.0.0/8")}))
	addr := start(t, s)
	for header, want := range map[string]string{aliceV1: alice, aliceV2: alice, bobV1: bob} {
		for path, prefix := range map[string]string{"/ws": "", "/http": "http ", "/answer": "answer "} {
			for _, piece := range []int{1, len(header) / 2, len(header), len(header) + 3, 1 << 20} {
				conn, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				c := tls.Client(&pieces{Conn: conn, first: header, size: piece}, anyone)
				io.WriteString(c, request(path))
				if status, from := (&caller{t, c, bufio.NewReader(c)}).answer(); status == 0 || from != prefix+want {
					t.Errorf("%q, in pieces of %d: got %d, %q, want %q", header, piece, status, from, prefix+want)
				}
				c.Close()
			}
		}
	}
	for _, late := range []string{aliceV1, ""} { // behind the handshake, or nowhere, it is none
		before := s.Stats().ProxyHeaderErrors["missing"]
		c, err := tls.Dial("tcp", addr, anyone)
		if err == nil {
			t.Errorf("%q: a handshake without a header was done", late)
			c.Close()
		}
		eventually(t, "it is counted", func() bool { return s.Stats().ProxyHeaderErrors["missing"] == before+1 })
	}
	if st := s.Stats().TLS; len(st.Failed) != 0 {
		t.Errorf("got %+v", st)
	}
}

// pieces is a connection that begins with something else, and whose first write comes in pieces.
type pieces struct {
	net.Conn
	first string
	size  int
}

func (p *pieces) Write(b []byte) (int, error) {
	all := append([]byte(p.first), b...)
	if p.first == "" {
		return p.Conn.Write(b)
	}
	p.first = ""
	for piece := range slices.Chunk(all, p.size) {
		if _, err := p.Conn.Write(piece); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

// TestSecureRefusals: over TLS a refusal arrives whole, with a close_notify and a FIN behind it,
// also at clients that still send, much of which is never read.
func TestSecureRefusals(t *testing.T) {
	refuse := func(status int, code string) Route {
		return Route{Guards: []upgrade.Guard{{OnRequest: func(*upgrade.Request) error { return upgrade.Reject(status, code, "No.") }}}}
	}
	s := withTLS(&Server{Loops: 2})
	for path, route := range map[string]Route{"/401": refuse(401, "token_missing"), "/403": refuse(403, "forbidden"), "/429": refuse(429, "too_many_requests")} {
		s.Route(path, route)
	}
	addr := start(t, s)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, more := range []int{0, 60 << 10, 200 << 10} {
			for _, status := range []string{"401", "403", "404", "429"} {
				for range 5 {
					c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
					if err != nil {
						t.Fatal(err)
					}
					sent := make(chan bool)
					go func() {
						io.WriteString(c, fmt.Sprintf(upgradeHead, "/"+status)+strings.Repeat("x", more))
						close(sent)
					}()
					all, err := io.ReadAll(c) // without a close_notify the end would be an error
					if err != nil || !strings.HasPrefix(string(all), "HTTP/1.1 "+status+" ") || !strings.Contains(string(all), "\r\n\r\n{") {
						t.Errorf("%s, %s, and %d bytes: got %q, %v", tls.VersionName(version), status, more, all, err)
					}
					if n, err := c.NetConn().Read(make([]byte, 1)); n != 0 || err != io.EOF {
						t.Errorf("%s, %s: behind close_notify %d bytes, %v, want FIN", tls.VersionName(version), status, n, err)
					}
					<-sent
					c.Close()
				}
			}
		}
	}
}

// TestSecureFull: clients for whom there is no room are told so behind a handshake; if it does not
// come soon, or the reserve is full, too, they are let go.
func TestSecureFull(t *testing.T) {
	s := withTLS(&Server{Loops: 1, MaxConns: 1})
	s.Route("/echo", Route{Message: echo})
	addr := start(t, s)
	c := wire(true).dial(t, addr, "/echo")
	for range 3 {
		full := dialTLS(t, addr)
		fmt.Fprintf(full, upgradeHead, "/echo")
		if all, err := io.ReadAll(full); err != nil || !strings.HasPrefix(string(all), "HTTP/1.1 503 ") || !strings.Contains(string(all), `"full"`) {
			t.Errorf("got %q, %v", all, err)
		}
	}
	silent, err := net.Dial("tcp", addr) // it has a second
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if all, err := io.ReadAll(silent); err != nil || len(all) > 0 {
		t.Errorf("silent: got %q, %v", all, err)
	}
	say(t, c, "still here")
	if got := read(t, c); got != "still here" {
		t.Errorf("got %q", got)
	}
	if st := s.Stats(); st.TLS.Handshakes != 4 || st.TLS.Failed["timeout"] != 1 {
		t.Errorf("got %+v", st.TLS)
	}
}

// TestSecureTimeout: a handshake and the head behind it have HandshakeTimeout together.
func TestSecureTimeout(t *testing.T) {
	addr := start(t, withTLS(&Server{HandshakeTimeout: time.Second}))
	for said, want := range map[string]string{"": "", "GET /echo HT": "HTTP/1.1 408 "} {
		var c *tls.Conn
		eventually(t, "a handshake in time", func() (ok bool) {
			var err error
			c, err = tls.Dial("tcp", addr, anyone)
			return err == nil
		})
		defer c.Close()
		io.WriteString(c, said)
		if all, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(all), want) || want == "" && len(all) > 0 {
			t.Errorf("%q: got %q, %v, want %q", said, all, err, want)
		}
	}
	// The deadline that a connection was accepted with is not set anew by its handshake.
	s := withTLS(&Server{HandshakeTimeout: time.Hour})
	addr = start(t, s)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	dues := func() (all []uint32) {
		for _, l := range s.loops {
			done := make(chan bool)
			_ = l.Post(func() {
				defer close(done)
				for s := range l.All() {
					all = append(all, s.Due())
				}
			})
			<-done
		}
		return all
	}
	var before []uint32
	eventually(t, "it is accepted", func() bool { before = dues(); return len(before) == 1 })
	c := tls.Client(conn, anyone)
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is secure", func() bool { return s.Stats().TLS.Handshakes == 1 })
	if after := dues(); !slices.Equal(after, before) {
		t.Errorf("due at %d, and at %d before its handshake", after, before)
	}
}

// TestSecurePanics: a function of the tls.Config that panics, or ends its goroutine, ends the
// connection that it was called for; so does a guard that panics. The log has it, and others are served.
func TestSecurePanics(t *testing.T) {
	log := new(journal)
	s := &Server{
		Logger: slog.New(slog.NewTextHandler(log, nil)),
		TLS: &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			switch hello.ServerName {
			case "panics":
				panic("on purpose")
			case "exits":
				runtime.Goexit()
			}
			cert := testCert()
			return &cert, nil
		}},
	}
	s.Route("/echo", Route{Message: echo})
	s.Route("/guard", Route{Guards: []upgrade.Guard{{OnRequest: func(*upgrade.Request) error { panic("by a guard") }}}})
	addr := start(t, s)
	for _, name := range []string{"panics", "exits", "panics"} {
		if c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, ServerName: name}); err == nil {
			t.Errorf("%s: the handshake is done", name)
			c.Close()
		}
	}
	c := dialTLS(t, addr)
	fmt.Fprintf(c, upgradeHead, "/guard")
	if all, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(all), "HTTP/1.1 500 ") {
		t.Errorf("a guard: got %q, %v", all, err)
	}
	over := wire(true).dial(t, addr, "/echo")
	say(t, over, "hi")
	if got := read(t, over); got != "hi" {
		t.Errorf("got %q", got)
	}
	eventually(t, "they are counted", func() bool { return s.Stats().TLS.Failed["other"] == 3 })
	eventually(t, "the log has them", func() bool { return strings.Count(log.String(), "panic in a handshake") == 2 })
}
