//go:build linux

package main_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestACME: certificates are got, kept, shown to those that ask for them and to nobody else, and
// taken from where they are kept by the next start, for which there need not be a CA. What it
// cannot get hurts nothing else.
func TestACME(t *testing.T) {
	t.Parallel()
	ca := newPebble(t, 7776000)
	dir := filepath.Join(t.TempDir(), "kept")
	p := ca.serve(t, "a.example,B.example", dir, "--admin", "127.0.0.1:0")
	_, admin, _ := strings.Cut(strings.TrimSpace(<-p.stdout.await("admin on ")), "admin on ")
	for _, name := range []string{"a.example", "b.example", "A.Example"} {
		eventually(t, name+" has a certificate", func() bool { return ca.has(p, name) })
	}
	first, second := leafOf(t, p, "a.example"), leafOf(t, p, "b.example")
	t.Run("whom it is shown to", func(t *testing.T) {
		if got, err := certOf(p, ""); err != nil || !slices.Equal(got.DNSNames, []string{"a.example"}) {
			t.Errorf("without a name: got %v, %v, want the first", got, err)
		}
		for name, alert := range map[string]string{"evil.example": "unrecognized name", "x.a.example": "unrecognized name", "localhost": "unrecognized name"} {
			if _, err := certOf(p, name); err == nil || !strings.Contains(err.Error(), alert) {
				t.Errorf("%s: got %v, want %s", name, err, alert)
			}
		}
		for name, alert := range map[string]string{"evil.example": "unrecognized name", "a.example": "internal error"} { // it is not being looked at
			if _, err := tls.Dial("tcp", p.addr, &tls.Config{ServerName: name, NextProtos: []string{"acme-tls/1"}}); err == nil || !strings.Contains(err.Error(), alert) {
				t.Errorf("a challenge of %s: got %v, want %s", name, err, alert)
			}
		}
		c, err := tls.Dial("tcp", p.addr, &tls.Config{RootCAs: ca.roots, ServerName: "a.example", NextProtos: []string{"acme-tls/1", "http/1.1"}})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := c.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
			t.Errorf("one that speaks both: got %q", got)
		}
	})
	t.Run("curl", func(t *testing.T) {
		path, err := exec.LookPath("curl")
		if err != nil {
			missing(t, "curl", "not installed; see make deps")
		}
		_, port, _ := net.SplitHostPort(p.addr)
		out, err := exec.Command(path, "--silent", "--show-error", "--max-time", "600", "--cacert", ca.root, "--resolve", "b.example:"+port+":127.0.0.1", "https://b.example:"+port+"/").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "<html") {
			t.Errorf("got %q, %v", out, err)
		}
	})
	series := scrape(t, admin)
	if got := series[`usher_tls_certificate_reloads_total{result="ok"}`]; got != 2 {
		t.Errorf("got %v of them counted", got)
	}
	if got, want := series["usher_tls_certificate_expiry_timestamp_seconds"], min(first.NotAfter.Unix(), second.NotAfter.Unix()); int64(got) != want {
		t.Errorf("got an expiry of %v, want %v", got, want)
	}
	for _, told := range []string{"agrees to the terms of service", "which is none of ours"} {
		if !strings.Contains(p.stderr.String(), told) {
			t.Errorf("the log has not %q", told)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: got %v, %v", info.Mode(), err)
	}
	files, err := os.ReadDir(dir)
	for _, f := range files {
		if info, err := f.Info(); err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: got %v", f.Name(), info.Mode())
		}
	}
	if len(files) == 0 {
		t.Error(err)
	}
	p.signal(t, syscall.SIGTERM)
	p.exit(t, patience)

	ca.stop()
	p = ca.serve(t, "a.example", dir)
	eventually(t, "what is kept is shown", func() bool { return ca.has(p, "a.example") })
	if got := leafOf(t, p, "a.example"); !got.Equal(first) {
		t.Errorf("got number %v, want %v", got.SerialNumber, first.SerialNumber)
	}

	file := issue(t, t.TempDir(), "file", nil, "file.example", "b.example")
	p = ca.serve(t, "b.example,c.example", dir, "--tls-cert", file.cert, "--tls-key", file.key)
	eventually(t, "the failure is told", func() bool {
		return strings.Contains(p.stderr.String(), `"level":"ERROR","msg":"no certificate could be got","domain":"c.example"`)
	})
	for name, want := range map[string]string{"file.example": "file.example", "b.example": "file.example", "": "file.example", "other.example": "file.example"} {
		if got, err := certOf(p, name); err != nil || got.DNSNames[0] != want {
			t.Errorf("%q, with a file: got %v, %v, want %s", name, got, err, want)
		}
	}
	if _, err := certOf(p, "c.example"); err == nil || !strings.Contains(err.Error(), "internal error") {
		t.Errorf("one that there is none of: got %v", err)
	}
}

// TestACMERenewal: a certificate is renewed while its server runs. The CA needs no certificate
// where clients do, and no room where one address has taken its own.
func TestACMERenewal(t *testing.T) {
	t.Parallel()
	ca := newPebble(t, 15)
	p := ca.serve(t, "a.example", t.TempDir(), "--tls-client-ca", ca.trust, "--max-conns-per-ip", "1")
	held, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	eventually(t, "there is one", func() bool { return leafOf(t, p, "a.example") != nil })
	first := leafOf(t, p, "a.example")
	eventually(t, "there is another", func() bool { return leafOf(t, p, "a.example").NotAfter.After(first.NotAfter) })
	ca.stop()
	eventually(t, "it is told that there is no third, and why", func() bool {
		for line := range strings.Lines(p.stderr.String()) {
			if strings.Contains(line, `"msg":"a certificate was to be renewed by now, and is not","domain":"a.example"`) && strings.Contains(line, "connection refused") {
				return true
			}
		}
		return false
	})
}

// TestACMEShared: of servers that share a port and a directory one asks for the certificate, and
// the CA may ask back either. So both show the same.
func TestACMEShared(t *testing.T) {
	t.Parallel()
	ca, dir := newPebble(t, 7776000), t.TempDir()
	one := ca.start(t, "a.example", dir, "--reuse-port")
	two := ca.start(t, "a.example", dir, "--reuse-port", "--listen", "tls://"+one.addr)
	ca.door.leadTo(one.addr)
	for _, p := range []*program{one, two} {
		eventually(t, "it has a certificate", func() bool { return strings.Contains(p.stderr.String(), "there is a certificate of --acme") })
	}
	first := leafOf(t, one, "a.example")
	for range 30 { // of either
		if got := leafOf(t, one, "a.example"); !got.Equal(first) {
			t.Fatalf("got two of them")
		}
	}
	if got := leafOf(t, two, "a.example"); !got.Equal(first) {
		t.Errorf("got two of them")
	}
}

// TestACMERefused: a CA that finds nobody at port 443 says so, and so does the log.
func TestACMERefused(t *testing.T) {
	t.Parallel()
	ca := newPebble(t, 7776000)
	ca.door.leadTo("127.0.0.1:1")
	p := ca.start(t, "a.example", t.TempDir())
	eventually(t, "the failure is told", func() bool { return strings.Contains(p.stderr.String(), "no certificate could be got") })
	if said := p.stderr.String(); !strings.Contains(said, `"domain":"a.example"`) || !strings.Contains(said, "Failed to connect") {
		t.Errorf("got\n%s", said)
	}
}

// leafOf returns the certificate that a program shows, also to a client that it then wants one of;
// nil if there is none.
func leafOf(t *testing.T, p *program, name string) (cert *x509.Certificate) {
	t.Helper()
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: name, VerifyConnection: func(s tls.ConnectionState) error {
		cert = s.PeerCertificates[0]
		return nil
	}}).Handshake()
	return cert
}
