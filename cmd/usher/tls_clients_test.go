//go:build linux

package main_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
	"github.com/lxzan/gws"
)

// jobFlags are what a program needs for the job of a client.
var jobFlags = []string{"--echo", "/echo", "--echo-auth", "/auth", "--rate", "1000/s", "--burst", "1000", "--rooms", "lobby,tea"}

// issueRSA is issue with a key of RSA, signed by itself.
func issueRSA(t *testing.T, dir, file, name string) *identity {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return issueFor(t, key, dir, file, nil, name)
}

// secureJob is newJob, but with TLS.
func secureJob(t *testing.T, id *identity, user string) job {
	t.Helper()
	_, j := jobAt(t, id, user)
	return j
}

// jobAt starts a program, with TLS if it has an identity, and returns the job for one client.
func jobAt(t *testing.T, id *identity, user string, flags ...string) (*program, job) {
	t.Helper()
	flags = append(flags, jobFlags...)
	if id == nil {
		p := serve(t, flags...)
		return p, jobOf(p.addr, "", user)
	}
	p := serveTLS(t, id, flags...)
	return p, jobOf(p.addr, "s", user)
}

// jobOf is the job at an address; s is s if TLS is spoken there.
func jobOf(addr, s, user string) job {
	return job{
		Echo:    "ws" + s + "://" + addr + "/echo",
		Refused: "ws" + s + "://" + addr + "/auth?token=letmein",
		Chat:    "ws" + s + "://" + addr + "/ws/lobby?token=" + url.QueryEscape(token(user)),
		Page:    "http" + s + "://" + addr + "/",
		Sizes:   sizes,
	}
}

// TestSecureLibraries: the clients of other languages do over TLS what they do in the clear,
// with both versions.
func TestSecureLibraries(t *testing.T) {
	id := issue(t, t.TempDir(), "server", nil, "localhost")
	t.Setenv("NODE_EXTRA_CA_CERTS", id.cert)
	t.Setenv("SSL_CERT_FILE", id.cert)
	for _, version := range []string{"1.2", "1.3"} {
		t.Setenv("NODE_OPTIONS", "--tls-min-v"+version+" --tls-max-v"+version)
		// Python has no setting for it, but OpenSSL below it.
		t.Setenv("OPENSSL_CONF", writeFile(t, filepath.Join(t.TempDir(), "openssl.cnf"), "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n[c]\n"+
			"MinProtocol = TLSv"+version+"\nMaxProtocol = TLSv"+version+"\n"))
		t.Run("ws, "+version, func(t *testing.T) {
			interpreter := node(t, "ws", "ws")
			check(t, run(t, secureJob(t, id, "alice"), interpreter, "node_ws.mjs"), "alice", everything)
		})
		t.Run("undici, "+version, func(t *testing.T) {
			interpreter := node(t, "undici", "undici")
			check(t, run(t, secureJob(t, id, "alice"), interpreter, "node_undici.mjs"), "alice", shows{closeCode: 1000, refusedAsCode: 1006})
		})
		t.Run("websockets, "+version, func(t *testing.T) {
			s := run(t, secureJob(t, id, "alice"), python(t), "python_websockets.py")
			check(t, s, "alice", shows{pong: true, status: true, body: s.Refused.Body != "", closeCode: 1000})
		})
	}
}

// TestSecureChromium: a page's script does the common job over TLS.
func TestSecureChromium(t *testing.T) {
	t.Parallel()
	interpreter, browser := chromium(t)
	j := secureJob(t, issue(t, t.TempDir(), "server", nil, "localhost"), "carol")
	j.Browser = browser
	check(t, run(t, j, interpreter, "chromium.mjs"), "carol", shows{closeCode: 1000, refusedAsCode: 1006})
}

// TestSecureGo: the libraries of Go do the same, over both versions.
func TestSecureGo(t *testing.T) {
	t.Parallel()
	id := issue(t, t.TempDir(), "server", nil, "localhost")
	byServer := everything
	byServer.closeCode = 1009 // see TestGws
	for _, l := range []struct {
		name string
		can  shows
		dial func(c *tls.Config, url string) (library, refusal, error)
	}{
		{"gorilla", everything, func(c *tls.Config, url string) (library, refusal, error) {
			return dialGorillaWith(&gorilla.Dialer{TLSClientConfig: c}, url)
		}},
		{"coder", everything, func(c *tls.Config, url string) (library, refusal, error) {
			return dialCoderWith(&http.Client{Transport: &http.Transport{TLSClientConfig: c}}, coder.CompressionDisabled, url)
		}},
		{"gws", byServer, func(c *tls.Config, url string) (library, refusal, error) {
			return dialGwsWith(c, gws.PermessageDeflate{}, url)
		}},
		{"gobwas", everything, dialGobwasWith},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(l.name+", "+tls.VersionName(version), func(t *testing.T) {
				t.Parallel()
				config := &tls.Config{RootCAs: id.roots, MinVersion: version, MaxVersion: version}
				s := converse(t, secureJob(t, id, "alice"), func(url string) (library, refusal, error) { return l.dial(config.Clone(), url) })
				check(t, s, "alice", l.can)
			})
		}
	}
}

// TestGnuTLS: each suite of gnutls-cli, which comes back with a ticket, speaks with the server,
// and changes its keys in the middle of a WebSocket.
func TestGnuTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	id, withRSA := issue(t, dir, "server", nil, "localhost"), issueRSA(t, dir, "rsa", "localhost")
	p := serveTLS(t, id, "--tls-cert", withRSA.cert, "--tls-key", withRSA.key, "--echo", "/echo")
	_, port, _ := net.SplitHostPort(p.addr)
	for _, cipher := range []string{"AES-128-GCM", "AES-256-GCM", "CHACHA20-POLY1305"} {
		for _, c := range []struct {
			id       *identity
			priority string
			is13     bool
		}{
			{id, "-VERS-ALL:+VERS-TLS1.3", true},
			{id, "-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ECDHE-ECDSA", false},
			{withRSA, "-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+ECDHE-RSA", false},
		} {
			t.Run(c.priority+":"+cipher, func(t *testing.T) {
				g := newConsole(t, "gnutls-cli", "--x509cafile", c.id.cert, "--verify-hostname", "localhost", "--sni-hostname", "localhost",
					"--priority", "NORMAL:"+c.priority+":-CIPHER-ALL:+"+cipher, "--alpn", "http/1.1", "--inline-commands",
					"--resume", "--waitresumption", "--port", port, "127.0.0.1")
				g.shows(t, "Simple Client Mode", 1) // of the second connection
				if resumed := strings.Contains(g.said.String(), "This is a resumed session"); resumed != c.is13 {
					t.Errorf("got resumed %t, want %t", resumed, c.is13)
				}
				g.types(t, head(upgradeTo("/echo")...))
				g.shows(t, "101 Switching Protocols", 1)
				for k := range 3 {
					if c.is13 {
						g.types(t, "^rekey^\n")
						g.shows(t, "Rekey was completed", k+1)
					}
					g.types(t, lineFrame("hello of gnutls-cli!"))
					g.shows(t, "\x81\x14hello of gnutls-cli!", k+1)
				}
			})
		}
	}
}

// lineFrame is textFrame for a client that sends lines: the masked text ends one, and has no zero
// in it, if its last character is there but once and none is '+'.
func lineFrame(payload string) string {
	mask := payload[len(payload)-1] ^ '\n'
	frame := []byte{0x81, 0x80 | byte(len(payload)), mask, mask, mask, mask}
	for _, b := range []byte(payload) {
		frame = append(frame, b^mask)
	}
	return string(frame)
}

// TestForeignCertificates: clients of others show a certificate and are let in; without one they
// get an alert, which is counted.
func TestForeignCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	id, ca := issue(t, dir, "server", nil, "localhost"), issue(t, dir, "ca", nil, "CA")
	member := issue(t, dir, "member", ca, "member")
	p := serveTLS(t, id, "--tls-client-ca", ca.cert, "--echo", "/echo", "--admin", "127.0.0.1:0")
	admin := strings.TrimSpace(strings.TrimPrefix(<-p.stdout.await("admin on "), "admin on "))
	files := map[string]string{"ca": id.cert, "cert": member.cert, "key": member.key}
	nobody := map[string]string{"ca": id.cert}
	talk := func(t *testing.T, files map[string]string, interpreter, script string) (got account) {
		runScript(t, interpreter, script, map[string]any{"url": "wss://" + p.addr + "/echo", "say": []string{"hi"}, "hear": 1, "ends": false, "tls": files}, &got)
		return got
	}
	t.Run("node", func(t *testing.T) {
		interpreter := node(t, "ws", "ws")
		if got := talk(t, files, interpreter, "node_talk.mjs"); len(got.Heard) != 1 || got.Close != 1000 {
			t.Errorf("a member: got %+v", got)
		}
		before := statsOf(t, admin).TLS.Failed["certificate_required"]
		if got := talk(t, nobody, interpreter, "node_talk.mjs"); len(got.Heard) > 0 || got.Close != 1006 {
			t.Errorf("nobody: got %+v", got)
		}
		eventually(t, "it is counted", func() bool { return statsOf(t, admin).TLS.Failed["certificate_required"] == before+1 })
	})
	t.Run("python", func(t *testing.T) {
		if got := talk(t, files, python(t), "python_talk.py"); len(got.Heard) != 1 || got.Close != 1000 {
			t.Errorf("a member: got %+v", got)
		}
	})
	t.Run("curl", func(t *testing.T) {
		path, err := exec.LookPath("curl")
		if err != nil {
			missing(t, "curl", "not installed; see make deps")
		}
		for version, alert := range map[string]string{"1.2": "handshake_failure", "1.3": "certificate_required"} {
			curl := func(args ...string) (string, error) {
				args = append(args, "--silent", "--show-error", "--max-time", "600", "--cacert", id.cert, "--tlsv"+version, "--tls-max", version, "https://"+p.addr+"/")
				out, err := exec.Command(path, args...).CombinedOutput()
				return string(out), err
			}
			if out, err := curl("--cert", member.cert, "--key", member.key); err != nil || !strings.Contains(out, "<html") {
				t.Errorf("%s: a member: got %.300s, %v", version, out, err)
			}
			before := statsOf(t, admin).TLS.Failed[alert]
			if out, err := curl(); err == nil || !strings.Contains(out, "alert") {
				t.Errorf("%s: nobody: got %.300s, %v", version, out, err)
			}
			eventually(t, "it is counted", func() bool { return statsOf(t, admin).TLS.Failed[alert] == before+1 })
		}
	})
	t.Run("openssl", func(t *testing.T) {
		o := newOpenSSL(t, p, id, "-cert", member.cert, "-key", member.key, "-quiet")
		o.types(t, head(upgradeTo("/echo")...)+string(textFrame(0x81, "hi")))
		o.shows(t, "\x81\x02hi", 1)
		newOpenSSL(t, p, id, "-tls1_3", "-ign_eof").shows(t, "alert certificate required", 1)
	})
}
