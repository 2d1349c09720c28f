package handshake

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/usher-ws/usher/record"
)

// caFile writes the CA's certificate, and returns the path.
func caFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, identity(t).caFile, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCurl(t *testing.T) {
	s := serve(t, &tls.Config{Certificates: []tls.Certificate{identity(t).ecdsa}, NextProtos: []string{"http/1.1"}})
	for version, want := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		p := start(t, "curl", "--silent", "--show-error", "--noproxy", "*", "--cacert", caFile(t), "--tls-max", version,
			fmt.Sprintf("https://%s/1", s.Addr()), fmt.Sprintf("https://%s/2", s.Addr())) // over one connection
		p.until("page")
		p.until("page")
		p.end()
		if one := <-s.done; one.err != io.EOF && one.err != record.ErrTruncated || one.State.Version != want {
			t.Errorf("%s: got %v, %s", version, one.err, tls.VersionName(one.State.Version))
		}
	}
}

// GnuTLS updates its keys, and comes back with a ticket.
func TestGnuTLS(t *testing.T) {
	for name, want := range map[string]struct{ version, suite uint16 }{
		"-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-128-GCM":       {tls.VersionTLS13, tls.TLS_AES_128_GCM_SHA256},
		"-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+AES-256-GCM":       {tls.VersionTLS13, tls.TLS_AES_256_GCM_SHA384},
		"-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+CHACHA20-POLY1305": {tls.VersionTLS13, tls.TLS_CHACHA20_POLY1305_SHA256},
		"-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-GCM":       {tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		"-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-256-GCM":       {tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384},
		"-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+CHACHA20-POLY1305": {tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, &tls.Config{Certificates: []tls.Certificate{identity(t).ecdsa}})
			_, port, _ := net.SplitHostPort(s.Addr().String())
			p := start(t, "gnutls-cli", "--x509cafile", caFile(t), "--verify-hostname", "localhost", "--sni-hostname", "localhost",
				"--priority", "NORMAL:"+name, "--inline-commands", "--resume", "--waitresumption", "--port", port, "127.0.0.1")
			p.until("Simple Client Mode") // of the second connection
			p.say("hello")
			p.until("hello")
			if want.version == tls.VersionTLS13 {
				p.say("^rekey^")
				p.until("Rekey")
			}
			p.say("again")
			p.until("again")
			p.stdin.Close()
			p.end()
			for i := range 2 {
				one := <-s.done
				if one.err != io.EOF || one.State.Version != want.version || one.State.CipherSuite != want.suite {
					t.Errorf("connection %d: got %v, %s, %s", i, one.err, tls.VersionName(one.State.Version), tls.CipherSuiteName(one.State.CipherSuite))
				}
				if resumed := i == 1 && want.version == tls.VersionTLS13; one.State.DidResume != resumed {
					t.Errorf("connection %d: got resumed %t, want %t", i, one.State.DidResume, resumed)
				}
			}
		})
	}
}

// Clients of languages say a line, have it back, and close.
func TestLanguages(t *testing.T) {
	for _, c := range []struct {
		program string
		version uint16
		script  string
	}{
		{"node", tls.VersionTLS13, nodeScript}, {"node", tls.VersionTLS12, nodeScript},
		{"python3", tls.VersionTLS13, pythonScript}, {"python3", tls.VersionTLS12, pythonScript},
	} {
		t.Run(fmt.Sprint(c.program, tls.VersionName(c.version)), func(t *testing.T) {
			s := serve(t, &tls.Config{Certificates: []tls.Certificate{identity(t).ecdsa}})
			_, port, _ := net.SplitHostPort(s.Addr().String())
			flag := map[string]string{"node": "-e", "python3": "-c"}[c.program]
			p := start(t, c.program, flag, c.script, port, caFile(t), tls.VersionName(c.version))
			p.until("hello")
			p.end()
			one := <-s.done
			if one.err != io.EOF && one.err != record.ErrTruncated || one.State.Version != c.version || one.said.String() != "hello\n" {
				t.Errorf("got %v, %s, %q", one.err, tls.VersionName(one.State.Version), one.said.String())
			}
		})
	}
}

const nodeScript = `
const [port, ca, version] = process.argv.slice(1);
const v = version.replace(" ", "v");
const c = require("tls").connect({host: "127.0.0.1", port, servername: "localhost", ca: require("fs").readFileSync(ca), minVersion: v, maxVersion: v},
	() => c.write("hello\n"));
c.on("data", (b) => { process.stdout.write(b); c.end(); });
`

const pythonScript = `
import socket, ssl, sys
port, ca, version = sys.argv[1:]
c = ssl.create_default_context(cafile=ca)
c.minimum_version = c.maximum_version = ssl.TLSVersion[version.replace(" ", "v").replace(".", "_")]
with socket.create_connection(("127.0.0.1", int(port))) as s, c.wrap_socket(s, server_hostname="localhost") as t:
	t.sendall(b"hello\n")
	print(t.recv(100).decode(), end="", flush=True)
	t.unwrap()
`
