package handshake

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/usher-ws/usher/record"
)

// choice is a version and a suite, with the certificate for it.
type choice struct {
	version, suite uint16
	rsa            bool
}

var choices = []choice{
	{tls.VersionTLS13, tls.TLS_AES_128_GCM_SHA256, false},
	{tls.VersionTLS13, tls.TLS_AES_256_GCM_SHA384, false},
	{tls.VersionTLS13, tls.TLS_CHACHA20_POLY1305_SHA256, true},
	{tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, false},
	{tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, false},
	{tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, false},
	{tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, true},
	{tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, true},
	{tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, true},
	{tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_GCM_SHA256, true},
	{tls.VersionTLS12, tls.TLS_RSA_WITH_AES_256_GCM_SHA384, true},
}

func (c choice) String() string {
	return strings.ReplaceAll(tls.VersionName(c.version), " ", "") + "/" + tls.CipherSuiteName(c.suite)
}

// configs returns the Configs of both sides, which leave nothing else to choose.
func (c choice) configs(tb testing.TB) (server, client *tls.Config) {
	all := identity(tb)
	server = &tls.Config{Certificates: []tls.Certificate{all.ecdsa}, NextProtos: []string{"http/1.1"}}
	if c.rsa {
		server.Certificates[0] = all.rsa
	}
	client = &tls.Config{RootCAs: all.ca, ServerName: "localhost", NextProtos: []string{"http/1.1"}, MinVersion: c.version, MaxVersion: c.version}
	if c.version == tls.VersionTLS13 {
		with13(tb, c.suite)
	} else {
		client.CipherSuites = []uint16{c.suite}
		server.CipherSuites = client.CipherSuites
	}
	return server, client
}

// say has everything of some lengths echoed through c.
func say(tb testing.TB, c io.ReadWriter, lengths ...int) {
	tb.Helper()
	for _, n := range lengths {
		want := bytes.Repeat([]byte{byte(n)}, n)
		errs := make(chan error, 1)
		go func() {
			_, err := c.Write(want)
			errs <- err
		}()
		got := make([]byte, 0, n+record.MaxContent)
		for len(got) < n {
			m, err := c.Read(got[len(got):cap(got)])
			if got = got[:len(got)+m]; err != nil {
				tb.Fatalf("reading %d bytes: got %d, then %v", n, len(got), err)
			}
		}
		if err := <-errs; err != nil || !bytes.Equal(got, want) {
			tb.Fatalf("%d bytes: got %d of them back, %v", n, len(got), err)
		}
	}
}

func TestServer(t *testing.T) {
	for _, c := range choices {
		t.Run(c.String(), func(t *testing.T) {
			server, client := c.configs(t)
			s := serve(t, server)
			conn, err := tls.Dial("tcp", s.Addr().String(), client)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			say(t, conn, 1, 20, 5000, 1<<14, 1<<14+1, 100_000)
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
				t.Errorf("at the end: got %q, %v, want close_notify", rest, err)
			}
			conn.Close()
			one := <-s.done
			if one.err != io.EOF {
				t.Fatalf("server: got %v, want EOF", one.err)
			}
			got := one.State
			if got.Version != c.version || got.CipherSuite != c.suite || got.NegotiatedProtocol != "http/1.1" || got.ServerName != "localhost" {
				t.Errorf("got %s, %s, %q, %q", tls.VersionName(got.Version), tls.CipherSuiteName(got.CipherSuite), got.NegotiatedProtocol, got.ServerName)
			}
		})
	}
}

func TestClient(t *testing.T) {
	for _, c := range choices {
		t.Run(c.String(), func(t *testing.T) {
			server, client := c.configs(t)
			l, err := tls.Listen("tcp", "127.0.0.1:0", server)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			errs := make(chan error, 1)
			go func() {
				conn, err := l.Accept()
				if err == nil {
					_, err = io.Copy(conn, conn)
					conn.Close()
				}
				errs <- err
			}()
			conn, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			r, err := Client(t.Context(), conn, client)
			if err != nil {
				t.Fatal(err)
			}
			ch := newChannel(conn, r)
			say(t, ch, 1, 20, 5000, 1<<14, 1<<14+1, 100_000)
			ch.end(nil)
			if n, err := ch.Read(make([]byte, record.MaxContent)); n != 0 || err != io.EOF {
				t.Errorf("at the end: got %d bytes, %v, want EOF", n, err)
			}
			if err := <-errs; err != nil {
				t.Errorf("server: got %v", err)
			}
			if r.State.Version != c.version || r.State.CipherSuite != c.suite || len(r.State.VerifiedChains) == 0 {
				t.Errorf("got %s, %s, %d chains", tls.VersionName(r.State.Version), tls.CipherSuiteName(r.State.CipherSuite), len(r.State.VerifiedChains))
			}
		})
	}
}

// What the client says in the same segment as its Finished message is not lost.
func TestRest(t *testing.T) {
	server, client := choices[0].configs(t)
	s := serve(t, server)
	raw, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	late := &lateWriter{Conn: raw}
	conn := tls.Client(late, client)
	if err := conn.Handshake(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "early")
	if err := late.flush(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(io.LimitReader(conn, 5)); err != nil || string(got) != "early" {
		t.Errorf("got %q, %v", got, err)
	}
	conn.Close()
	if one := <-s.done; one.err != io.EOF || len(one.Rest) == 0 {
		t.Errorf("got %v, %d bytes read ahead", one.err, len(one.Rest))
	}
}

// lateWriter holds back all that is written after the first write, which is the ClientHello.
type lateWriter struct {
	net.Conn
	writes int
	held   []byte
	open   bool
}

func (w *lateWriter) Write(b []byte) (int, error) {
	if w.writes++; w.writes == 1 || w.open {
		return w.Conn.Write(b)
	}
	w.held = append(w.held, b...)
	return len(b), nil
}

func (w *lateWriter) flush() error {
	w.open = true
	_, err := w.Conn.Write(w.held)
	return err
}

// Certificates of clients are read in records of the handshake, and a server writes its ticket
// behind them.
func TestClientCertificates(t *testing.T) {
	all := identity(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		s := serve(t, &tls.Config{Certificates: []tls.Certificate{all.ecdsa}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: all.ca})
		client := &tls.Config{
			RootCAs: all.ca, ServerName: "localhost", MaxVersion: version, Certificates: []tls.Certificate{all.client},
			ClientSessionCache: tls.NewLRUClientSessionCache(1),
		}
		for range 2 {
			conn, err := tls.Dial("tcp", s.Addr().String(), client)
			if err != nil {
				t.Fatal(err)
			}
			say(t, conn, 10, 20_000)
			conn.Close()
			one := <-s.done
			if one.err != io.EOF || one.State.PeerCertificates[0].Subject.CommonName != "alice" {
				t.Errorf("%s: got %v, %v", tls.VersionName(version), one.err, one.State.PeerCertificates)
			}
		}
		client.Certificates, client.ClientSessionCache = nil, nil // a ticket stands for the certificate
		conn, err := tls.Dial("tcp", s.Addr().String(), client)
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
			conn.Close()
		}
		one := <-s.done
		if one.err == nil || one.channel != nil || err == nil {
			t.Errorf("%s, without a certificate: got %v, client %v", tls.VersionName(version), one.err, err)
		}
	}
}

// The Config that GetConfigForClient chooses is under the same rules, and its callbacks see
// the connection that is the caller's.
func TestGetConfigForClient(t *testing.T) {
	all := identity(t)
	var saw net.Conn
	s := serve(t, &tls.Config{GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		saw = hello.Conn
		if hello.ServerName != "localhost" {
			return nil, errors.New("no such host")
		}
		return &tls.Config{Certificates: []tls.Certificate{all.ecdsa}, MinVersion: tls.VersionTLS10}, nil
	}})
	conn, err := tls.Dial("tcp", s.Addr().String(), &tls.Config{RootCAs: all.ca, ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	say(t, conn, 10)
	conn.Close()
	if one := <-s.done; one.err != io.EOF || saw != one.channel.Conn {
		t.Errorf("got %v, %T", one.err, saw)
	}
	for name, client := range map[string]*tls.Config{
		"another name": {RootCAs: all.ca, ServerName: "127.0.0.1"},
		"TLS 1.1":      {RootCAs: all.ca, ServerName: "localhost", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		"CBC":          {RootCAs: all.ca, ServerName: "localhost", MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}},
	} {
		if conn, err := tls.Dial("tcp", s.Addr().String(), client); err == nil {
			t.Errorf("%s: got a connection", name)
			conn.Close()
		}
		if one := <-s.done; one.err == nil || one.channel != nil {
			t.Errorf("%s: got %v, want an error of the handshake", name, one.err)
		}
	}
}

// An embedder's own key log still hears of everything.
func TestKeyLog(t *testing.T) {
	server, client := choices[0].configs(t)
	var ours, theirs bytes.Buffer
	server.KeyLogWriter, client.KeyLogWriter = &ours, &theirs
	s := serve(t, server)
	conn, err := tls.Dial("tcp", s.Addr().String(), client)
	if err != nil {
		t.Fatal(err)
	}
	say(t, conn, 10)
	conn.Close()
	if <-s.done; ours.String() != theirs.String() || !strings.Contains(ours.String(), "SERVER_TRAFFIC_SECRET_0") {
		t.Errorf("got\n%s\nwant\n%s", ours.String(), theirs.String())
	}
}

func TestVersions(t *testing.T) {
	config := &tls.Config{MaxVersion: tls.VersionTLS11}
	if _, err := NewServer(config); err == nil {
		t.Error("a server of TLS 1.1: got no error")
	}
	if _, err := Client(t.Context(), nil, config); err == nil {
		t.Error("a client of TLS 1.1: got no error")
	}
}
