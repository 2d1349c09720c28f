//go:build linux

package main_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	gorilla "github.com/gorilla/websocket"
)

// identity is a certificate and its key in files, and all that is known of it.
type identity struct {
	cert, key string // files
	pair      tls.Certificate
	roots     *x509.CertPool
}

// issue makes an identity for 127.0.0.1 and these names, signed by another or by itself.
func issue(t *testing.T, dir, file string, by *identity, names ...string) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return issueFor(t, key, dir, file, by, names...)
}

// issueFor is issue, for any key.
func issueFor(t *testing.T, key crypto.Signer, dir, file string, by *identity, names ...string) *identity {
	t.Helper()
	of := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	parent, signer := of, key
	if by != nil {
		parent, signer = by.pair.Leaf, by.pair.PrivateKey.(crypto.Signer)
	}
	der, err := x509.CreateCertificate(rand.Reader, of, parent, key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	i := &identity{pair: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots: x509.NewCertPool()}
	i.roots.AddCert(leaf)
	i.cert, i.key = filepath.Join(dir, file+".pem"), filepath.Join(dir, file+".key")
	replaceFile(t, i.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	replaceFile(t, i.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	return i
}

// replaceFile puts another file in a file's place, as those that renew certificates do.
func replaceFile(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// serveTLS is serve, but with TLS.
func serveTLS(t *testing.T, id *identity, flags ...string) *program {
	t.Helper()
	args := []string{"serve", "--listen", "tls://127.0.0.1:0", "--tls-cert", id.cert, "--tls-key", id.key, "--users", "demo", "--ping-interval", "0", "--idle-timeout", "10m"}
	return start(t, usher(t, append(args, flags...)...))
}

// TestSecurePage: people log in and talk on a page over https, in a real browser. Its origin is
// that of the page, and another page's is refused.
func TestSecurePage(t *testing.T) {
	t.Parallel()
	id := issue(t, t.TempDir(), "server", nil, "localhost")
	b := newBrowser(t)
	p := serveTLS(t, id)
	trust := map[string]any{"ignoreHTTPSErrors": true}
	alice, bob := b.opens("alice", "https://"+p.addr+"/", trust), b.opens("bob", "https://"+p.addr+"/", trust)
	alice.logIn("alice", "wonderland")
	alice.join("tea")
	bob.logIn("bob", "builder")
	bob.join("tea")
	alice.say("hello bob")
	bob.sees("#log", "alice: hello bob")
	bob.say("hello alice")
	alice.sees("#log", "bob: hello alice")

	for origin, want := range map[string]int{"https://" + p.addr: 101, "https://evil.example": 403} {
		d := gorilla.Dialer{TLSClientConfig: &tls.Config{RootCAs: id.roots}}
		conn, resp, err := d.Dial("wss://"+p.addr+"/ws/tea?token="+token("carol"), http.Header{"Origin": {origin}})
		if resp == nil || resp.StatusCode != want {
			t.Errorf("origin %s: got %v, %v, want %d", origin, resp, err, want)
		}
		if conn != nil {
			conn.Close()
		}
	}
}

// TestClientCertificates: without a certificate of --tls-client-ca nobody gets in, and with one
// everybody who else may.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	id, ca := issue(t, dir, "server", nil, "localhost"), issue(t, dir, "ca", nil, "CA")
	member := issue(t, dir, "member", ca, "member")
	p := serveTLS(t, id, "--tls-client-ca", ca.cert, "--tls-min", "1.3")
	join := func(config *tls.Config) error {
		config.RootCAs = id.roots
		conn, _, err := (&gorilla.Dialer{TLSClientConfig: config}).Dial("wss://"+p.addr+"/ws/lobby?token="+token("alice"), nil)
		if err == nil {
			conn.Close()
		}
		return err
	}
	if err := join(&tls.Config{Certificates: []tls.Certificate{member.pair}}); err != nil {
		t.Errorf("a member: got %v", err)
	}
	for name, config := range map[string]*tls.Config{
		"nobody":     {},
		"a stranger": {GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &id.pair, nil }},
		"old-timer":  {Certificates: []tls.Certificate{member.pair}, MaxVersion: tls.VersionTLS12},
	} {
		if err := join(config); err == nil || !strings.Contains(err.Error(), "tls:") {
			t.Errorf("%s: got %v, want an alert", name, err)
		}
	}
}

// certOf returns the certificate that a client is shown who asks for a name.
func certOf(p *program, name string) (*x509.Certificate, error) {
	c, err := tls.Dial("tcp", p.addr, &tls.Config{InsecureSkipVerify: true, ServerName: name})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0], nil
}

// TestCertificateChoice: the name that a client asks for chooses; the first pair is for all
// others.
func TestCertificateChoice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, second := issue(t, dir, "first", nil, "first.example"), issue(t, dir, "second", nil, "second.example", "*.second.example")
	p := serveTLS(t, first, "--tls-cert", second.cert, "--tls-key", second.key)
	for name, want := range map[string]string{
		"": "first.example", "first.example": "first.example", "other.example": "first.example",
		"second.example": "second.example", "a.second.example": "second.example",
	} {
		if got, err := certOf(p, name); err != nil || got.Subject.CommonName != want {
			t.Errorf("%q: got %v, %v, want %s", name, got, err, want)
		}
	}
}

// TestCertificateReload: files that change are taken by SIGHUP and by themselves, no handshake
// is lost meanwhile, connections stay, and files that are no good change nothing.
func TestCertificateReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	id := issue(t, dir, "server", nil, "first")
	p := serveTLS(t, id, "--echo", "/echo", "--log-format", "json")
	d := gorilla.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	stays, _, err := d.Dial("wss://"+p.addr+"/echo", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer stays.Close()
	var done atomic.Int64
	end := make(chan struct{})
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
				}
				if _, err := certOf(p, ""); err != nil {
					t.Errorf("a handshake was lost: %v", err)
					return
				}
				done.Add(1)
			}
		})
	}
	becomesShown := func(name string) {
		eventually(t, name+" is shown", func() bool {
			got, err := certOf(p, "")
			return err == nil && got.Subject.CommonName == name
		})
	}
	for k := range 5 { // bounded by what is done, not by time
		name := fmt.Sprintf("by signal %d", k)
		issue(t, dir, "server", nil, name)
		p.signal(t, syscall.SIGHUP)
		becomesShown(name)
		before := done.Load()
		eventually(t, "handshakes go on", func() bool { return t.Failed() || done.Load() >= before+20 })
	}
	issue(t, dir, "server", nil, "by itself")
	becomesShown("by itself")
	replaceFile(t, id.cert, []byte("no certificate\n"))
	eventually(t, "it is told", func() bool { return strings.Contains(p.stderr.String(), "the certificates stay as they were") })
	becomesShown("by itself")
	issue(t, dir, "server", nil, "mended")
	becomesShown("mended")
	close(end)
	clients.Wait()
	if err := stays.WriteMessage(gorilla.TextMessage, []byte("still here")); err != nil {
		t.Fatal(err)
	}
	if _, b, err := stays.ReadMessage(); err != nil || string(b) != "still here" {
		t.Errorf("a connection of before: got %q, %v", b, err)
	}
}

// TestSecureRefusals: over TLS every refusal arrives, whole and with an end that is one.
func TestSecureRefusals(t *testing.T) {
	t.Parallel()
	id := issue(t, t.TempDir(), "server", nil, "localhost")
	p := serveTLS(t, id, append([]string{"--max-conns-per-user", "1"}, door...)...)
	bearer := "Authorization: Bearer "
	held, _, err := (&gorilla.Dialer{TLSClientConfig: &tls.Config{RootCAs: id.roots}}).Dial("wss://"+p.addr+"/auth", http.Header{"Authorization": {"Bearer " + token("alice")}})
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, c := range []struct {
			request string
			status  int
			code    string
		}{
			{head(upgradeTo("/auth")...), 401, "token_missing"},
			{head(upgradeTo("/auth", bearer+"letmein")...), 401, "token_invalid"},
			{head(upgradeTo("/auth", bearer+token("bob"), "Origin: https://evil.example")...), 403, "origin_not_allowed"},
			{head(upgradeTo("/nowhere")...), 404, "not_found"},
			{head(upgradeTo("/auth", bearer+token("alice"))...), 429, "too_many_requests"},
			{"NONSENSE\r\n\r\n", 400, "bad_request"},
		} {
			conn, err := tls.Dial("tcp", p.addr, &tls.Config{RootCAs: id.roots, MaxVersion: version})
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(conn, c.request)
			all, err := io.ReadAll(conn) // an end without close_notify would be an error
			conn.Close()
			if err != nil || !bytes.HasPrefix(all, fmt.Appendf(nil, "HTTP/1.1 %d ", c.status)) || !bytes.Contains(all, []byte(`"code":"`+c.code+`"`)) {
				t.Errorf("%.40q: got %q, %v, want %d %s", c.request, all, err, c.status, c.code)
			}
		}
	}
	plain, err := http.Get("http://" + p.addr + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Body.Close()
	if b, err := io.ReadAll(plain.Body); plain.StatusCode != 400 || err != nil || !strings.Contains(string(b), "https://") {
		t.Errorf("in the clear: got %d, %q, %v", plain.StatusCode, b, err)
	}
}
