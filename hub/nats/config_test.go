//go:build linux

package nats

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub"
)

func TestConfig(t *testing.T) {
	for want, c := range map[string]Config{
		"URLs":          {Node: "n"},
		`Node is ""`:    {URLs: []string{"nats://x"}},
		`Node is "a ":`: {URLs: []string{"nats://x"}, Node: "a "},
		`it must be`:    {URLs: []string{"nats://x"}, Node: strings.Repeat("x", 65)},
		"no such file":  {URLs: []string{"nats://x"}, Node: "n", TokenFile: "/nowhere/token"},
		"no such":       {URLs: []string{"nats://x"}, Node: "n", CredsFile: "/nowhere/creds"},
		"no creden":     {URLs: []string{"nats://x"}, Node: "n", CredsFile: write(t, "-----BEGIN NATS USER JWT-----\n")},
		"nats: ":        {URLs: []string{"http://x:x"}, Node: "n"},
	} {
		if b, err := Connect(c); err == nil {
			b.Close()
			t.Errorf("%+v: got no error, want %q", c, want)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %q, want %q", c, err, want)
		}
	}
}

// TestLateServer: a node begins without a server, and is heard once there is one.
func TestLateServer(t *testing.T) {
	s := serveNATS(t)
	other := s.connect(Config{Node: "other"})
	there := listen(t, other, "lobby")
	s.kill()
	b := begin(t, s.url, Config{Node: "north"})
	here := listen(t, b, "lobby")
	if err := b.Publish(hub.Message{Topic: "lobby", Opcode: frame.OpText, Data: [][]byte{[]byte("early")}}); err != hub.ErrDegraded || !b.Degraded() {
		t.Errorf("got error %v, degraded %t; want %v", err, b.Degraded(), hub.ErrDegraded)
	}
	wantTexts(t, here, "early")
	since := b.State().Since
	s.restart()
	await(t, "both are connected", func() bool { return !b.Degraded() && !other.Degraded() })
	if got := b.State(); got.Degraded || !got.Since.After(since) {
		t.Errorf("got %+v, want a later time than %v", got, since)
	}
	meet(t, b, other)
	settle(t, b, other)
	say(t, b, "lobby", "late")
	say(t, other, "lobby", "answer")
	wantTexts(t, here, "early", "late", "answer")
	await(t, "the other has heard it", func() bool { return len(there.texts()) == 2 })
}

// TestToken: a node that is not let in says so, tries again, and reads its token each time.
func TestTokenFile(t *testing.T) {
	s := serveNATS(t, "--auth", "right")
	file := write(t, "wrong\n")
	var log logged
	b := begin(t, s.url, Config{Node: "north", TokenFile: file, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	await(t, "it is said", func() bool { return log.has("Authorization Violation") })
	if s := b.State(); !s.Degraded || s.Err == nil || !isRefusal(s.Err) {
		t.Errorf("with a wrong token: got %+v", s)
	}
	if err := os.WriteFile(file, []byte("right\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	await(t, "the node is connected", func() bool { return !b.Degraded() })
	if s := b.State(); s.Err != nil {
		t.Errorf("with the right token: got %+v", s)
	}
	if log.has("right") || log.has("wrong") {
		t.Errorf("a token is in the log:\n%s", log.String())
	}
}

// TestTLS: a node speaks TLS and knows its servers.
func TestTLS(t *testing.T) {
	cert, key, pool := certificate(t)
	s := serveNATS(t, "--tls", "--tlscert", cert, "--tlskey", key)
	var log logged
	stranger := begin(t, s.url, Config{Node: "stranger", TLS: &tls.Config{}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	b := s.connect(Config{Node: "north", TLS: &tls.Config{RootCAs: pool}})
	settle(t, b)
	await(t, "it is said", func() bool { return log.has("certificate signed by unknown authority") })
	if !stranger.Degraded() {
		t.Error("got connected to a server that nobody knows")
	}
}

// certificate returns files of one for 127.0.0.1, and who has signed it.
func certificate(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		NotAfter:              time.Now().Add(patience),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(chain)
	return write(t, string(chain)), write(t, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))), pool
}

// dialled is a server that is reached in some other way than by its URL.
type dialled struct{ addr string }

func (d dialled) InProcessConn() (net.Conn, error) { return net.Dial("tcp", d.addr) }

// TestInProcess: a server in this process needs no URL.
func TestInProcess(t *testing.T) {
	s := serveNATS(t)
	b, err := Connect(Config{InProcess: dialled{strings.TrimPrefix(s.url, "nats://")}, Node: "north", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	await(t, "the node is connected", func() bool { return !b.Degraded() })
	settle(t, b)
	s.kill()
	await(t, "the node is degraded", b.Degraded)
	s.restart()
	await(t, "the node is connected again", func() bool { return !b.Degraded() })
}
