//go:build linux

package server

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

// signed returns a certificate for 127.0.0.1 that speaks for the name, signed by another or by
// itself.
func signed(t testing.TB, name string, by *tls.Certificate) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	parent, signer := of, key
	if by != nil {
		parent, signer = by.Leaf, by.PrivateKey.(*ecdsa.PrivateKey)
	}
	der, err := x509.CreateCertificate(rand.Reader, of, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// trusts returns a pool of one.
func trusts(cert tls.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	return pool
}

// answerTo returns the status and, unless the connection is open, the body.
func answerTo(t testing.TB, conn net.Conn) (status int, body string) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return resp.StatusCode, ""
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// A guard and an http.Handler see the certificate that a client has shown, and only clients
// with one get as far.
func TestClientCertificateInRequest(t *testing.T) {
	ours := signed(t, "server", nil)
	theirs := signed(t, "carol", &ours)
	s := &Server{TLS: &tls.Config{Certificates: []tls.Certificate{ours}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: trusts(ours)}}
	s.Route("/ws", Route{Guards: []upgrade.Guard{{OnRequest: func(r *upgrade.Request) error {
		if who := r.TLS.PeerCertificates[0].Subject.CommonName; len(r.TLS.VerifiedChains) == 0 || who != "carol" {
			return upgrade.Reject(http.StatusForbidden, "not_carol", "this is "+who)
		}
		return nil
	}}}})
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName)
	})
	addr := start(t, s)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for cert, want := range map[*tls.Certificate]int{&theirs: 101, &ours: 403} {
			for path, text := range map[string]string{"/ws": "", "/": cert.Leaf.Subject.CommonName} {
				conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: trusts(ours), Certificates: []tls.Certificate{*cert}, MaxVersion: version})
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				io.WriteString(conn, request(path, "Connection: close")) // which an upgrade overrules
				status, said := answerTo(t, conn)
				if path == "/" && (status != 200 || said != text) || path == "/ws" && status != want {
					t.Errorf("%s, %s as %s: got %d, %q", tls.VersionName(version), path, cert.Leaf.Subject.CommonName, status, said)
				}
			}
		}
	}
	if st := s.Stats().TLS; st.Handshakes != 8 || len(st.Failed) != 0 {
		t.Errorf("got %+v", st)
	}
}

// Each way in which a handshake fails, or a connection behind it, has its word and is counted
// once; the log has it for those that look for it.
func TestTLSStats(t *testing.T) {
	ours := signed(t, "server", nil)
	theirs := signed(t, "carol", &ours)
	log := new(journal)
	s := &Server{
		TLS:              &tls.Config{Certificates: []tls.Certificate{ours}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: trusts(ours), NextProtos: []string{"http/1.1"}},
		HandshakeTimeout: time.Hour,
		Logger:           slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	s.Route("/ws", Route{})
	addr := start(t, s)
	good := func() *tls.Config {
		return &tls.Config{RootCAs: trusts(ours), Certificates: []tls.Certificate{theirs}}
	}
	as := func(set func(c *tls.Config)) func(net.Conn) {
		return func(conn net.Conn) {
			config := good()
			set(config)
			config.ServerName = "127.0.0.1"
			c := tls.Client(conn, config)
			_, _ = io.Copy(io.Discard, c)
			_, _ = io.Copy(io.Discard, conn) // to close it with something unread would be a hang-up
		}
	}
	says := func(text string) func(net.Conn) {
		return func(conn net.Conn) { io.WriteString(conn, text); _, _ = io.Copy(io.Discard, conn) }
	}
	want := make(map[string]int64)
	for _, tt := range []struct {
		word string
		do   func(conn net.Conn)
	}{
		{"not_tls", says(request("/"))},
		{"not_tls", says("\x00\x01\x02\x03\x04\x05\x06")},
		{"hangup", func(conn net.Conn) { conn.Close() }},
		{"hangup", func(conn net.Conn) { io.WriteString(conn, "\x16\x03\x01\x02\x00\x01"); conn.Close() }},
		{"protocol_version", as(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })},
		{"no_application_protocol", as(func(c *tls.Config) { c.NextProtos = []string{"smtp"} })},
		{"peer_bad_certificate", as(func(c *tls.Config) { c.RootCAs = nil })},
		{"certificate_required", as(func(c *tls.Config) { c.Certificates = nil })},
		{"handshake_failure", as(func(c *tls.Config) { c.Certificates, c.MaxVersion = nil, tls.VersionTLS12 })},
		{"unknown_ca", as(func(c *tls.Config) {
			eve := signed(t, "eve", nil)
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &eve, nil }
		})},
	} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		tt.do(conn)
		conn.Close()
		want[tt.word]++
		eventually(t, tt.word+" is counted", func() bool { return s.Stats().TLS.Failed[tt.word] == want[tt.word] })
	}
	if got := s.Stats().TLS; !maps.Equal(got.Failed, want) || got.Handshakes != 0 || len(got.Faults) != 0 {
		t.Errorf("got %+v, want %v failed", got, want)
	}
	wantFaults := map[string]int64{"truncated": 1, "bad_record_mac": 1, "record_overflow": 1}
	for word, do := range map[string]func(c *tls.Conn){
		"truncated":       func(c *tls.Conn) { c.NetConn().Close() },
		"bad_record_mac":  func(c *tls.Conn) { io.WriteString(c.NetConn(), "\x17\x03\x03\x00\x20"+strings.Repeat("x", 32)) },
		"record_overflow": func(c *tls.Conn) { io.WriteString(c.NetConn(), "\x17\x03\x03\xff\xff") },
	} {
		c, err := tls.Dial("tcp", addr, good())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, request("/ws"))
		if status, _ := answerTo(t, c); status != 101 {
			t.Fatalf("got %d", status)
		}
		do(c)
		eventually(t, word+" is counted", func() bool { return s.Stats().TLS.Faults[word] == 1 })
	}
	if got := s.Stats().TLS; !maps.Equal(got.Faults, wantFaults) || !maps.Equal(got.Failed, want) || got.Handshakes != 3 {
		t.Errorf("got %+v", got)
	}
	eventually(t, "the log has them all", func() bool { return strings.Count(log.String(), "a TLS handshake has failed") == 10 })
	if said := log.String(); !strings.Contains(said, "level=DEBUG") || !strings.Contains(said, "reason=peer_bad_certificate") {
		t.Errorf("got\n%s", said)
	}
}

// TestTLSStatsOfTheSlow: so has the one that does not come in time, of a server of its own: on a busy
// machine the others might not either.
func TestTLSStatsOfTheSlow(t *testing.T) {
	s := &Server{TLS: &tls.Config{Certificates: []tls.Certificate{signed(t, "server", nil)}}, HandshakeTimeout: 300 * time.Millisecond}
	addr := start(t, s)
	for k, text := range []string{"", "\x16\x03\x01\x02\x00\x01\x00"} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, text)
		_, _ = io.Copy(io.Discard, conn)
		conn.Close()
		eventually(t, "it is counted", func() bool { return s.Stats().TLS.Failed["timeout"] == int64(k+1) })
	}
	if got := s.Stats().TLS; len(got.Failed) != 1 || got.Handshakes != 0 || len(got.Faults) != 0 {
		t.Errorf("got %+v", got)
	}
}
