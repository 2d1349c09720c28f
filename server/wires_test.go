//go:build linux

package server

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/websocket"
)

// wire is how the connections of a test go: over TLS, or in the clear.
type wire bool

// onBothWires runs a test in the clear and over TLS.
func onBothWires(t *testing.T, f func(t *testing.T, w wire)) {
	t.Run("clear", func(t *testing.T) { f(t, false) })
	t.Run("TLS", func(t *testing.T) { f(t, true) })
}

// peerConn is a client's connection.
type peerConn interface {
	net.Conn
	CloseWrite() error
	SetLinger(seconds int) error
}

// securePeer does its handshake when it first says something.
type securePeer struct{ *tls.Conn }

// CloseWrite says close_notify, behind a handshake, and FIN.
func (c securePeer) CloseWrite() error {
	_ = c.Conn.CloseWrite()
	return tcp(c.Conn).CloseWrite()
}

// SetLinger is net.TCPConn's.
func (c securePeer) SetLinger(seconds int) error { return tcp(c.Conn).SetLinger(seconds) }

// tcp is what is below c.
func tcp(c net.Conn) *net.TCPConn {
	switch over := c.(type) {
	case *tls.Conn:
		c = over.NetConn()
	case securePeer:
		c = over.NetConn()
	}
	return c.(*net.TCPConn)
}

// anyone trusts every server.
var anyone = &tls.Config{InsecureSkipVerify: true}

// withTLS adds TLS to a Server.
func withTLS(s *Server) *Server {
	s.TLS = &tls.Config{Certificates: []tls.Certificate{testCert()}}
	return s
}

// server is s on the wire.
func (w wire) server(s *Server) *Server {
	if w {
		return withTLS(s)
	}
	return s
}

// some is n, or less of what takes a handshake each.
func (w wire) some(n int) int {
	if w {
		return n / 5
	}
	return n
}

// connect returns a connection that the test may leave as it is.
func (w wire) connect(t testing.TB, addr string) peerConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(time.Hour))
	if w {
		return securePeer{tls.Client(c, anyone)}
	}
	return c.(*net.TCPConn)
}

// open opens a WebSocket by hand, so that a test can misbehave on it.
func (w wire) open(t testing.TB, addr, path string) peerConn {
	t.Helper()
	c := w.connect(t, addr)
	t.Cleanup(func() { tcp(c).Close() }) // crypto/tls would wait to say close_notify
	fmt.Fprintf(c, upgradeHead, path)
	var answer []byte
	var one [1]byte
	for !strings.HasSuffix(string(answer), "\r\n\r\n") {
		if _, err := io.ReadFull(c, one[:]); err != nil {
			t.Fatalf("handshake: %v after %q", err, answer)
		}
		answer = append(answer, one[0])
	}
	if !strings.HasPrefix(string(answer), "HTTP/1.1 101 ") {
		t.Fatalf("handshake: %q", answer)
	}
	return c
}

// dial opens a WebSocket.
func (w wire) dial(t testing.TB, addr, path string) *websocket.Conn {
	t.Helper()
	d := websocket.Dialer{NetDial: func(_, addr string) (net.Conn, error) { return w.connect(t, addr), nil }}
	c, resp, err := d.Dial("ws://"+addr+path, nil)
	if err != nil {
		t.Fatalf("dial %s: %v (%v)", path, err, resp)
	}
	t.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(time.Hour))
	return c
}

// post sends a form and returns the answer.
func (w wire) post(t testing.TB, addr, path, text string) (status int, body string) {
	t.Helper()
	scheme := "http"
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: anyone}}
	if w {
		scheme = "https"
	}
	resp, err := client.Post(scheme+"://"+addr+path, "text/plain", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}
