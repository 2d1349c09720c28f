//go:build linux

package main_test

import (
	"bytes"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// console is a client that is running, and sends what it reads.
type console struct {
	name string
	in   io.WriteCloser
	said *transcript
}

// newConsole starts one.
func newConsole(t *testing.T, name string, args ...string) *console {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, name, "not installed; see make deps")
	}
	cmd := exec.Command(path, args...)
	c := &console{name: name, said: newTranscript()}
	cmd.Stdout, cmd.Stderr = c.said, c.said
	if c.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		cmd.Wait()
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-gone
	})
	return c
}

// newOpenSSL connects s_client to a program.
func newOpenSSL(t *testing.T, p *program, id *identity, args ...string) *console {
	t.Helper()
	return newConsole(t, "openssl", append([]string{"s_client", "-connect", p.addr, "-CAfile", id.cert, "-verify_return_error"}, args...)...)
}

// types sends text.
func (c *console) types(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(c.in, text); err != nil {
		t.Fatalf("%v\n%s", err, c.said)
	}
}

// shows waits until it has printed words n times.
func (c *console) shows(t *testing.T, words string, n int) {
	t.Helper()
	eventually(t, c.name+" shows "+words, func() bool { return strings.Count(c.said.String(), words) >= n })
}

// TestOpenSSL: each suite and version of OpenSSL's own client speaks with the server, resumes,
// and changes its keys in the middle of a WebSocket. The suite chooses among a certificate with
// ECDSA and one with RSA.
func TestOpenSSL(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	id, withRSA := issue(t, dir, "server", nil, "localhost"), issueRSA(t, dir, "rsa", "localhost")
	p := serveTLS(t, id, "--tls-cert", withRSA.cert, "--tls-key", withRSA.key, "--echo", "/echo", "--admin", "127.0.0.1:0")
	admin := strings.TrimSpace(strings.TrimPrefix(<-p.stdout.await("admin on "), "admin on "))
	upgrade := head(upgradeTo("/echo")...)
	suites13 := []string{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}
	talks := func(id *identity, args ...string) {
		t.Run(args[len(args)-1], func(t *testing.T) {
			o := newOpenSSL(t, p, id, append(args, "-quiet", "-alpn", "http/1.1")...)
			o.types(t, upgrade+string(textFrame(0x81, "hello of s_client")))
			o.shows(t, "\x81\x11hello of s_client", 1)
		})
	}
	for _, suite := range suites13 {
		talks(id, "-tls1_3", "-ciphersuites", suite)
		talks(withRSA, "-tls1_3", "-sigalgs", "RSA-PSS+SHA256", "-ciphersuites", suite)
	}
	for _, cipher := range []string{"AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"} {
		talks(id, "-tls1_2", "-cipher", "ECDHE-ECDSA-"+cipher)
		talks(withRSA, "-tls1_2", "-cipher", "ECDHE-RSA-"+cipher)
	}
	for _, suite := range suites13 {
		t.Run("key updates, "+suite, func(t *testing.T) {
			o := newOpenSSL(t, p, id, "-tls1_3", "-ciphersuites", suite)
			o.shows(t, "Verify return code: 0", 1) // K is a command only once the connection is up
			o.types(t, upgrade)
			o.shows(t, "Sec-WebSocket-Accept", 1)
			for k, command := range []string{"K\n", "k\n", "K\n"} {
				o.types(t, command)
				o.shows(t, "KEYUPDATE", k+1)
				o.types(t, string(textFrame(0x81, "after an update")))
				eventually(t, "the echo", func() bool { return strings.Count(o.said.String(), "after an update") == k+1 })
			}
		})
	}
	for _, version := range []string{"1.2", "1.3"} {
		t.Run("reconnect, "+version, func(t *testing.T) {
			o := newOpenSSL(t, p, id, "-tls"+strings.ReplaceAll(version, ".", "_"), "-reconnect")
			o.shows(t, ", TLSv"+version+", Cipher is ", 6)
			o.types(t, upgrade)
			o.shows(t, "101 Switching Protocols", 1)
		})
	}
	t.Run("tickets", func(t *testing.T) {
		session := filepath.Join(dir, "session")
		for k, args := range [][]string{{"-sess_out", session}, {"-sess_in", session}} {
			o := newOpenSSL(t, p, id, append(args, "-tls1_3", "-ign_eof")...)
			o.shows(t, []string{"New, TLSv1.3", "Reused, TLSv1.3"}[k], 1)
			o.types(t, upgrade+string(textFrame(0x81, "comes with or behind the ticket")))
			o.shows(t, "\x81\x1fcomes with or behind the ticket", 1)
		}
	})
	t.Run("an old version", func(t *testing.T) {
		newOpenSSL(t, p, id, "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0").shows(t, "alert protocol version", 1)
	})
	t.Run("HTTP/2 only", func(t *testing.T) {
		newOpenSSL(t, p, id, "-alpn", "h2").shows(t, "alert no application protocol", 1)
		eventually(t, "it is counted", func() bool { return statsOf(t, admin).TLS.Failed["no_application_protocol"] == 1 })
	})
}

// textFrame returns a masked frame of a short payload whose key is zero.
func textFrame(first byte, payload string) []byte {
	return append([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
}

// TestSecureCurl: curl gets the page, and a refusal with its body. It would rather speak HTTP/2.
func TestSecureCurl(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("curl")
	if err != nil {
		missing(t, "curl", "not installed; see make deps")
	}
	id := issue(t, t.TempDir(), "server", nil, "localhost")
	p := serveTLS(t, id, "--echo-auth", "/auth")
	for _, version := range []string{"1.2", "1.3"} {
		curl := func(urlPath string, args ...string) answer {
			args = append([]string{"--silent", "--verbose", "--include", "--max-time", "600", "--cacert", id.cert, "--tlsv" + version, "--tls-max", version}, args...)
			cmd := exec.Command(path, append(args, "https://"+p.addr+urlPath)...)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("curl %s: %v, %s", urlPath, err, stderr.String())
			}
			if said := stderr.String(); !strings.Contains(said, "offers h2,http/1.1") || !strings.Contains(said, "server accepted http/1.1") {
				t.Errorf("curl %s: got %s, want HTTP/1.1 of both", urlPath, said)
			}
			return (&wire{in: newReader(out)}).answer()
		}
		if a := curl("/"); a.status != 200 || !strings.Contains(a.body, "<html") {
			t.Errorf("the page: got %s", a)
		}
		a := curl("/auth", "-H", "Connection: Upgrade", "-H", "Upgrade: websocket", "-H", "Sec-WebSocket-Version: 13", "-H", "Sec-WebSocket-Key: "+wsKey)
		if flaws := flawsOfRefusal(a, "GET", 401); flaws != nil || a.code() != "token_missing" {
			t.Errorf("a refusal: got %s, %q", a, flaws)
		}
		if a := curl("/token", "--data", "username=alice", "--data", "password=wonderland"); a.status != 200 || !strings.Contains(a.body, "access_token") {
			t.Errorf("log-in: got %s", a)
		}
	}
	curl101(t, path, "https://"+p.addr+"/auth", []string{"--cacert", id.cert, "-H", "Connection: Upgrade", "-H", "Upgrade: websocket",
		"-H", "Sec-WebSocket-Version: 13", "-H", "Sec-WebSocket-Key: " + wsKey, "-H", "Authorization: Bearer " + token("alice")})
}
