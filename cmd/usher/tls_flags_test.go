//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// selfSigned returns a certificate for localhost and its key, in PEM.
func selfSigned(t *testing.T, from, until time.Time) (cert, key string) {
	t.Helper()
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: from, NotAfter: until, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, of, of, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

// TestTLSMistakes: whatever is wrong with what TLS is spoken with is found before the start, by
// usher check, too, and told in one line.
func TestTLSMistakes(t *testing.T) {
	t.Setenv("USHER_SECRET", strings.Repeat("s", 32))
	dir, now := t.TempDir(), time.Now()
	at := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, from := range map[string]time.Time{"good": now.Add(-time.Hour), "other": now.Add(-time.Hour), "old": now.Add(-48 * time.Hour), "early": now.Add(12 * time.Hour)} {
		cert, key := selfSigned(t, from, from.Add(24*time.Hour))
		write(name+".pem", cert)
		write(name+".key", key)
	}
	for name, mode := range map[string]os.FileMode{"open": 0o777, "mine": 0o700} {
		if err := os.Mkdir(at(name), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(at(name), mode); err != nil { // whatever the umask is
			t.Fatal(err)
		}
	}
	write("empty", "")
	write("text", "hello\n")
	write("locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
	const listen = "--listen=tls://127.0.0.1:0 "
	x := newTerminal(t)
	for _, tt := range []struct{ args, says string }{
		{listen, "name one with --tls-cert"},
		{listen + "--listen 127.0.0.1:0 --tls-min 1.3", "name one with --tls-cert"},
		{"--listen tls://systemd:web", "name one with --tls-cert"},
		{"--tls-cert good.pem --tls-key good.key", "nothing listens with TLS"},
		{"--tls-client-ca good.pem", "nothing listens with TLS"},
		{"--acme a.example --acme-dir mine", "nothing listens with TLS"},
		{listen + "--acme a.example", "--acme needs a directory"},
		{listen + "--acme-dir mine", "--acme-dir keeps the certificates of --acme"},
		{"--acme-dir mine", "--acme-dir keeps the certificates of --acme"},
		{listen + "--acme a.example --acme-dir empty", "empty is no directory"},
		{listen + "--acme a.example --acme-dir empty/acme", "--acme-dir: stat empty/acme"},
		{listen + "--acme a.example --acme-dir open", "others can write in open, too"},
		{listen + "--acme a.example,127.0.0.1 --acme-dir mine", "\"127.0.0.1\" is no domain"},
		{listen + "--acme *.example.org --acme-dir mine", "neither an address nor a wildcard"},
		{listen + "--tls-cert good.pem", "1 of --tls-cert and 0 of --tls-key"},
		{listen + "--tls-key good.key", "0 of --tls-cert and 1 of --tls-key"},
		{listen + "--tls-cert good.pem,other.pem --tls-key good.key", "2 of --tls-cert and 1 of --tls-key"},
		{listen + "--tls-cert good.pem --tls-key other.key", "does not match"},
		{listen + "--tls-cert good.pem,other.pem --tls-key other.key,good.key", "does not match"},
		{listen + "--tls-cert good.key --tls-key good.pem", "--tls-cert"},
		{listen + "--tls-cert old.pem --tls-key old.key", "has expired on"},
		{listen + "--tls-cert good.pem,old.pem --tls-key good.key,old.key", "old.pem has expired on"},
		{listen + "--tls-cert early.pem --tls-key early.key", "counts from"},
		{listen + "--tls-cert none.pem --tls-key good.key", "--tls-cert: open"},
		{listen + "--tls-cert good.pem --tls-key none.key", "--tls-key: open"},
		{listen + "--tls-cert . --tls-key good.key", "is a directory"},
		{listen + "--tls-cert empty --tls-key good.key", "--tls-cert: empty is empty"},
		{listen + "--tls-cert text --tls-key good.key", "--tls-cert text"},
		{listen + "--tls-cert good.pem --tls-key text", "--tls-key text"},
		{listen + "--tls-cert good.pem --tls-key locked.key", "is encrypted"},
		{listen + "--tls-cert good.pem --tls-key good.key --tls-client-ca none.pem", "--tls-client-ca: open"},
		{listen + "--tls-cert good.pem --tls-key good.key --tls-client-ca good.key", "has no certificate"},
		{listen + "--tls-cert good.pem --tls-key good.key --tls-min 1.1", "1.2"},
	} {
		t.Chdir(dir)
		for _, command := range []string{"serve", "check"} {
			fields := strings.Fields(tt.args)
			if got := x.refusal(command, fields...); !strings.Contains(got, tt.says) || strings.Contains(got, "code 1") {
				t.Errorf("%s %s: got %q, want %q", command, tt.args, got, tt.says)
			}
		}
	}
	var stdout, stderr strings.Builder
	args := listen + "--tls-cert good.pem --tls-key good.key --tls-cert other.pem --tls-key other.key --tls-min 1.3 --tls-client-ca other.pem"
	if code := run(append([]string{"check"}, strings.Fields(args)...), &stdout, &stderr); code != 0 {
		t.Fatalf("got %d, %s", code, stderr.String())
	}
	for _, line := range []string{"listen: tls://127.0.0.1:0", "tls-cert: good.pem,other.pem", "tls-key: good.key,other.key", "tls-min: 1.3", "tls-client-ca: other.pem"} {
		if !strings.Contains(stdout.String(), line) {
			t.Errorf("got\n%s\nwant %s", stdout.String(), line)
		}
	}
	stdout.Reset()
	if code := run([]string{"check", "--listen=tls://127.0.0.1:0", "--acme=a.example,b.example", "--acme-dir=mine/new/one"}, &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), "acme-dir: mine/new/one") {
		t.Errorf("--acme: got %d, %s, %s", code, stdout.String(), stderr.String())
	}
	if _, err := os.Stat(at("mine/new")); err == nil {
		t.Error("usher check has made the directory")
	}
}

// TestExpiresSoon: of certificates that should have been renewed by now usher check names the
// files, and finds nothing wrong.
func TestExpiresSoon(t *testing.T) {
	t.Setenv("USHER_SECRET", strings.Repeat("s", 32))
	dir, now := t.TempDir(), time.Now()
	const day = 24 * time.Hour
	for name, tt := range map[string]struct {
		from, left time.Duration
		soon       bool
	}{
		"quarter":        {76 * day, 14*day + time.Hour, false},
		"quarter-ending": {76 * day, 14*day - time.Hour, true},
		"week":           {4 * day, 2 * day, false},
		"week-ending":    {5 * day, 1 * day, true},
	} {
		cert, key := filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")
		certText, keyText := selfSigned(t, now.Add(-tt.from), now.Add(tt.left))
		for path, text := range map[string]string{cert: certText, key: keyText} {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var stdout, stderr strings.Builder
		said := logOf(t, func() {
			if code := run([]string{"check", "--listen", "tls://127.0.0.1:0", "--tls-cert", cert, "--tls-key", key}, &stdout, &stderr); code != 0 {
				t.Errorf("%s: got %d, %s", name, code, stderr.String())
			}
		})
		if isNamed := strings.Contains(said, "expires soon") && strings.Contains(said, cert); isNamed != tt.soon {
			t.Errorf("%s: got %q, want it named: %t", name, said, tt.soon)
		}
	}
}

// logOf returns what f logs on standard error.
func logOf(t *testing.T, f func()) string {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	before := os.Stderr
	os.Stderr = file
	f()
	os.Stderr = before
	text, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
