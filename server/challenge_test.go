//go:build linux

package server

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
)

// latched keeps what is written behind the first flight until open is called.
type latched struct {
	net.Conn
	kept   []byte
	writes int
	isOpen bool
}

func (c *latched) Write(b []byte) (int, error) {
	if c.writes++; c.writes == 1 || c.isOpen {
		return c.Conn.Write(b)
	}
	c.kept = append(c.kept, b...)
	return len(b), nil
}

func (c *latched) open() error {
	c.isOpen = true
	_, err := c.Conn.Write(c.kept)
	return err
}

// A validator of RFC 8737 gets its handshake and nothing else: the connection ends as it should,
// what is said behind the handshake is not read, and nothing of it counts as a failure.
func TestChallengeEndsBehindItsHandshake(t *testing.T) {
	ours := signed(t, "server", nil)
	var asked atomic.Int64
	s := &Server{
		TLS:           &tls.Config{Certificates: []tls.Certificate{ours}, NextProtos: []string{"http/1.1", "acme-tls/1"}},
		Handler:       http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }),
		MaxConnsPerIP: 1,
	}
	addr := start(t, s)
	holds, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: trusts(ours)}) // so all others are over the limit
	if err != nil {
		t.Fatal(err)
	}
	defer holds.Close()
	handshakes := int64(1)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for name, do := range map[string]func(c *tls.Conn, raw *latched) error{
			"waits": func(_ *tls.Conn, raw *latched) error { return raw.open() },
			"asks in the same packet": func(c *tls.Conn, raw *latched) error {
				io.WriteString(c, request("/"))
				return raw.open()
			},
			"asks": func(c *tls.Conn, raw *latched) error {
				err := raw.open()
				io.WriteString(c, request("/")) // which may come too late
				return err
			},
		} {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			raw := &latched{Conn: conn, isOpen: version == tls.VersionTLS12} // where the server has the last word
			c := tls.Client(raw, &tls.Config{RootCAs: trusts(ours), ServerName: "127.0.0.1", NextProtos: []string{"acme-tls/1"}, MaxVersion: version})
			if err := c.Handshake(); err != nil {
				t.Fatalf("%s, %s: %v", tls.VersionName(version), name, err)
			}
			if err := do(c, raw); err != nil {
				t.Fatalf("%s, %s: %v", tls.VersionName(version), name, err)
			}
			if b, err := io.ReadAll(c); len(b) > 0 || err != nil { // an end without close_notify would be an error
				t.Errorf("%s, %s: got %q, %v", tls.VersionName(version), name, b, err)
			}
			handshakes++
		}
	}
	eventually(t, "all are counted", func() bool { return s.Stats().TLS.Handshakes == handshakes })
	if st := s.Stats().TLS; len(st.Failed)+len(st.Faults) > 0 || asked.Load() != 0 {
		t.Errorf("got %+v, %d requests", st, asked.Load())
	}
	for range 20 { // and goes, or is gone, at once
		conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: trusts(ours), NextProtos: []string{"acme-tls/1"}})
		if err != nil {
			t.Fatal(err)
		}
		conn.NetConn().Close()
		handshakes++
	}
	eventually(t, "all of them have ended", func() bool { return s.Sockets() <= 1 })
	if st := s.Stats().TLS; len(st.Faults) > 0 {
		t.Errorf("got %+v", st)
	}
}
