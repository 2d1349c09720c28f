package handshake

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"

	"github.com/usher-ws/usher/record"
)

// TestErrors: whichever side ends a handshake, and however much of it is sealed by then, the
// error of a server has the alert.
func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		name   string
		set    func(server, client *tls.Config)
		alert  record.Alert
		byPeer bool
	}{
		{"an old version", func(_, client *tls.Config) { client.MinVersion, client.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, record.ProtocolVersion, false},
		{"another protocol", func(server, client *tls.Config) {
			server.NextProtos, client.NextProtos = []string{"http/1.1"}, []string{"smtp"}
		}, 120, false},
		{"another suite", func(_, client *tls.Config) {
			client.MaxVersion, client.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256}
		}, 40, false},
		{"no trust", func(_, client *tls.Config) { client.RootCAs = nil }, 42, true},
		{"no trust, TLS 1.2", func(_, client *tls.Config) { client.RootCAs, client.MaxVersion = nil, tls.VersionTLS12 }, 42, true},
		{"no certificate", func(server, _ *tls.Config) { server.ClientAuth = tls.RequireAndVerifyClientCert }, 116, false},
		{"no certificate, TLS 1.2", func(server, client *tls.Config) {
			server.ClientAuth, client.MaxVersion = tls.RequireAndVerifyClientCert, tls.VersionTLS12
		}, 40, false},
		{"a stranger's certificate", func(server, client *tls.Config) {
			server.ClientAuth, client.Certificates = tls.RequireAndVerifyClientCert, server.Certificates
		}, 48, false},
	} {
		server, client := choices[0].configs(t)
		client.CipherSuites, client.MaxVersion, client.MinVersion = nil, 0, 0
		server.CipherSuites, server.MaxVersion, server.MinVersion = nil, 0, 0
		tt.set(server, client)
		s, err := NewServer(server)
		if err != nil {
			t.Fatal(err)
		}
		a, b := tcpPair(t)
		told := make(chan error, 1)
		go func() {
			_, err := s.Handshake(t.Context(), a, nil)
			a.Close()
			told <- err
		}()
		c := tls.Client(b, client)
		if c.Handshake() == nil {
			_, _ = io.Copy(io.Discard, c) // a client of TLS 1.3 is ready before it is judged
		}
		err = <-told
		if e, ok := errors.AsType[*Error](err); !ok || e.Alert != tt.alert || e.ByPeer != tt.byPeer {
			t.Errorf("%s: got %+v (%v), want %v, by the peer: %t", tt.name, e, err, tt.alert, tt.byPeer)
		}
	}
}

// TestAlertInTheClear: OpenSSL refuses a certificate of TLS 1.3 by an alert that is not sealed yet,
// which crypto/tls takes for a record that does not open. It is the peer's alert all the same.
func TestAlertInTheClear(t *testing.T) {
	server, client := choices[0].configs(t)
	s, err := NewServer(server)
	if err != nil {
		t.Fatal(err)
	}
	a, b := tcpPair(t)
	told := make(chan error, 1)
	go func() {
		_, err := s.Handshake(t.Context(), a, nil)
		told <- err
	}()
	refuses := tls.Client(alertsInstead{b}, client)
	if err := refuses.Handshake(); err == nil {
		t.Error("the handshake is done")
	}
	err = <-told
	if e, ok := errors.AsType[*Error](err); !ok || e.Alert != 48 || !e.ByPeer || err.Error() != "record: peer sent unknown_ca" {
		t.Errorf("got %+v (%v), want the peer's unknown_ca", e, err)
	}
}

// alertsInstead is a client's connection that is refused once the server has answered.
type alertsInstead struct{ net.Conn }

func (c alertsInstead) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == nil {
		_, err = io.WriteString(c.Conn, "\x15\x03\x03\x00\x02\x02\x30")
	}
	return n, errors.Join(err, io.ErrClosedPipe)
}
