//go:build linux

package main_test

import (
	"crypto/tls"
	"maps"
	"net"
	"os/exec"
	"strings"
	"testing"
)

// TestRefusedCertificate: clients that do not trust the certificate are counted by what they say,
// also those that close at once, with something unread, so that the kernel resets the connection.
func TestRefusedCertificate(t *testing.T) {
	t.Parallel()
	id := issue(t, t.TempDir(), "server", nil, "localhost")
	runs := func(name string, args ...string) func(t *testing.T) {
		return func(t *testing.T) {
			path, err := exec.LookPath(name)
			if err != nil {
				missing(t, name, "not installed; see make deps")
			}
			if out, err := exec.Command(path, args...).CombinedOutput(); err == nil {
				t.Errorf("%s trusts a stranger:\n%s", name, out)
			}
		}
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		p := serveTLS(t, id, "--admin", "127.0.0.1:0")
		admin := strings.TrimSpace(strings.TrimPrefix(<-p.stdout.await("admin on "), "admin on "))
		_, port, _ := net.SplitHostPort(p.addr)
		number := strings.TrimPrefix(tls.VersionName(version), "TLS ")
		want := make(map[string]int)
		for name, tt := range map[string]struct {
			word string
			do   func(t *testing.T)
		}{
			"openssl": {"peer_unknown_ca", runs("openssl", "s_client", "-connect", p.addr, "-verify_return_error", "-tls"+strings.Replace(number, ".", "_", 1))},
			"curl":    {"peer_unknown_ca", runs("curl", "--silent", "--noproxy", "*", "--tls-max", number, "https://"+p.addr+"/")},
			"gnutls":  {"peer_bad_certificate", runs("gnutls-cli", "--priority", "NORMAL:-VERS-ALL:+VERS-TLS"+number, "--port", port, "127.0.0.1")},
			"python":  {"peer_unknown_ca", runs("python3", "-c", pythonRefuses, port, strings.Replace(tls.VersionName(version), " ", "v", 1))},
			"go": {"peer_bad_certificate", func(t *testing.T) {
				conn, err := net.Dial("tcp", p.addr)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if tls.Client(conn, &tls.Config{ServerName: "localhost", MaxVersion: version}).Handshake() == nil {
					t.Error("the handshake is done")
				}
			}},
		} {
			t.Run(tls.VersionName(version)+"/"+name, func(t *testing.T) {
				const times = 3
				for range times {
					tt.do(t)
				}
				want[tt.word] += times
				total := 0
				for n := range maps.Values(want) {
					total += n
				}
				var st tlsStats
				eventually(t, "they are counted", func() bool {
					st = statsOf(t, admin)
					sum := 0
					for n := range maps.Values(st.TLS.Failed) {
						sum += n
					}
					return sum == total
				})
				if !maps.Equal(st.TLS.Failed, want) || st.TLS.Handshakes != 0 {
					t.Errorf("got %+v, want %v", st.TLS, want)
				}
			})
		}
	}
}

const pythonRefuses = `
import socket, ssl, sys
port, version = sys.argv[1:]
c = ssl.create_default_context()
c.minimum_version = c.maximum_version = ssl.TLSVersion[version.replace(".", "_")]
c.wrap_socket(socket.create_connection(("127.0.0.1", int(port))), server_hostname="localhost")
`
