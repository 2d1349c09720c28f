//go:build linux

package main_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// site is chat.example in the addresses of a test: what the files of packaging/proxies are
// about.
type site struct {
	dir       string
	addr      string // of the proxy
	admin     string // of usher
	cert, key string // files
	both      string // a file with both
	roots     *x509.CertPool
}

// TestProxyFiles: with each of the files that operators are given, and with the flags that it
// names, pages of the same host get in, refusals arrive, and limits and logs are about the client,
// whatever it says of itself.
func TestProxyFiles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		program, file string
		adapt         func(t *testing.T, s *site, text string) string
		args          []string // the file goes behind them
	}{
		{"nginx", "nginx.conf", adaptNginx, []string{"-e", "stderr", "-g", "daemon off; master_process off;", "-c"}},
		{"haproxy", "haproxy.cfg", adaptHAProxy, []string{"-db", "-f"}},
		{"caddy", "Caddyfile", adaptCaddy, []string{"run", "--adapter", "caddyfile", "--config"}},
	} {
		t.Run(tt.program, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(installed(t, tt.program), tt.args...)
			text := packaging(t, "proxies/"+tt.file)
			s := newSite(t)
			p := serve(t, append(flagsNamedIn(t, s, text), "--max-conns-per-ip", "1", "--access-log")...)
			cmd.Env = append(os.Environ(), "XDG_CONFIG_HOME="+s.dir, "XDG_DATA_HOME="+s.dir) // where Caddy writes
			runProxy(t, s.dir, tt.adapt(t, s, replaced(t, text, "127.0.0.1:8080", p.addr)), cmd)
			eventually(t, tt.program+" passes on", func() bool {
				status, _ := s.page("127.0.0.9")
				return status == http.StatusOK
			})
			s.visit(t)
			if said := p.stderr.String(); !strings.Contains(said, "remote=127.0.0.2") || strings.Contains(said, "remote=192.0.2.7") {
				t.Errorf("the log has not the client's address, or one that it made up:\n%s", said)
			}
		})
	}
}

var namedFlags = regexp.MustCompile(`(?m)^#   usher serve (.*)$`)

// flagsNamedIn returns the flags of usher serve that the comment in a file names.
func flagsNamedIn(t *testing.T, s *site, text string) []string {
	t.Helper()
	m := namedFlags.FindStringSubmatch(text)
	if m == nil {
		t.Fatal("the file does not tell how to start usher")
	}
	return strings.Fields(strings.ReplaceAll(m[1], "127.0.0.1:9090", s.admin))
}

func adaptNginx(t *testing.T, s *site, text string) string {
	temporary := "pid " + s.dir + "/pid;\nerror_log stderr;\nhttp {\n"
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		temporary += fmt.Sprintf("%s_temp_path %s/%[1]s;\n", kind, s.dir)
	}
	return replaced(t, text, "http {\n", temporary,
		"worker_rlimit_nofile 100000;", "", "worker_connections 50000;", "worker_connections 500;",
		"/var/log/nginx/access.log", filepath.Join(s.dir, "access.log"),
		"listen 443 ssl", "listen "+s.addr+" ssl", "/etc/ssl/chat.example/cert.pem", s.cert, "/etc/ssl/chat.example/key.pem", s.key)
}

func adaptHAProxy(t *testing.T, s *site, text string) string {
	_, port, _ := net.SplitHostPort(s.admin)
	return replaced(t, text, "maxconn 50000", "maxconn 500", "bind :443", "bind "+s.addr, "/etc/ssl/chat.example.pem", s.both,
		"check port 9090", "check port "+port)
}

func adaptCaddy(t *testing.T, s *site, text string) string {
	options := "{\nadmin off\nauto_https disable_redirects\nservers {\nprotocols h1\n}\n}\n"
	_, port, _ := net.SplitHostPort(s.addr)
	return options + replaced(t, text, "\nchat.example {", fmt.Sprintf("\nchat.example:%s {\nbind 127.0.0.1\ntls %s %s", port, s.cert, s.key))
}

// newSite makes addresses and a certificate for chat.example.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{dir: t.TempDir(), addr: freeAddr(t), admin: freeAddr(t), roots: x509.NewCertPool()}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"chat.example"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	keyPEM := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	s.cert, s.key = writeFile(t, filepath.Join(s.dir, "cert.pem"), certPEM), writeFile(t, filepath.Join(s.dir, "key.pem"), keyPEM)
	s.both = writeFile(t, filepath.Join(s.dir, "both.pem"), certPEM+keyPEM)
	s.roots.AppendCertsFromPEM([]byte(certPEM))
	return s
}

// freeAddr returns an address that nobody listens at.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// from dials the proxy from an address of 127.0.0.0/8.
func (s *site) from(addr string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}
		return d.DialContext(ctx, "tcp", s.addr)
	}
}

// page fetches the page; the status is 0 if that fails.
func (s *site) page(from string) (status int, body string) {
	web := http.Client{Transport: &http.Transport{
		DialContext: s.from(from), TLSClientConfig: &tls.Config{RootCAs: s.roots}, DisableKeepAlives: true,
	}}
	resp, err := web.Get("https://" + s.host() + "/")
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(b)
}

// host is chat.example with the port of the test, as a browser would send it.
func (s *site) host() string {
	_, port, _ := net.SplitHostPort(s.addr)
	return "chat.example:" + port
}

// join connects to the chat as a page of the origin would.
func (s *site) join(from, origin string, h http.Header) (*websocket.Conn, *http.Response, error) {
	if h == nil {
		h = make(http.Header)
	}
	h.Set("Origin", origin)
	d := websocket.Dialer{NetDialContext: s.from(from), TLSClientConfig: &tls.Config{RootCAs: s.roots}}
	return d.Dial("wss://"+s.host()+"/ws/lobby?token="+token("alice"), h)
}

// refuses fails the test unless the one who joins is told the code.
func (s *site) refuses(t *testing.T, from, origin string, h http.Header, code string) {
	t.Helper()
	conn, resp, err := s.join(from, origin, h)
	if err == nil {
		conn.Close()
		t.Fatalf("%s of %s with %v: got in, want %s", from, origin, h, code)
	}
	if resp == nil {
		t.Fatalf("%s of %s with %v: %v", from, origin, h, err)
	}
	if body, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(body), `"code":"`+code+`"`) {
		t.Errorf("%s of %s with %v: got %d %q, %v, want %s", from, origin, h, resp.StatusCode, body, err, code)
	}
}

// visit is what clients do behind any proxy; each address may have one connection.
func (s *site) visit(t *testing.T) {
	t.Helper()
	ours := "https://" + s.host()
	conn, resp, err := s.join("127.0.0.2", ours, http.Header{"X-Forwarded-For": {"192.0.2.7"}, "Forwarded": {"for=192.0.2.7"}})
	if err != nil {
		t.Fatalf("%v (%v)", err, resp)
	}
	defer conn.Close()
	if err := conn.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	for said := ""; said != "alice: hello"; {
		_, b, err := conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		said = string(b)
	}
	s.refuses(t, "127.0.0.2", ours, nil, "too_many_requests")
	s.refuses(t, "127.0.0.2", ours, http.Header{"X-Forwarded-For": {"192.0.2.8"}, "X-Real-Ip": {"192.0.2.8"}}, "too_many_requests")
	s.refuses(t, "127.0.0.3", "https://evil.example", nil, "origin_not_allowed")
	s.refuses(t, "127.0.0.3", "https://evil.example", http.Header{"X-Forwarded-Host": {"evil.example"}}, "origin_not_allowed")
	other, resp, err := s.join("127.0.0.4", ours, nil)
	if err != nil {
		t.Fatalf("another address: %v (%v)", err, resp)
	}
	other.Close()
	if status, body := s.page("127.0.0.5"); status != http.StatusOK || !strings.Contains(body, "<html") {
		t.Errorf("the page: got %d, %q", status, tail(body, 200))
	}
}
