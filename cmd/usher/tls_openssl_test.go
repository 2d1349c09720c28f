//go:build linux

package main_test

import (
	"bytes"
	"io"
	"os/exec"
	"strings"
	"testing"
)

// openssl is a running s_client.
type openssl struct {
	in   io.WriteCloser
	said *transcript
}

// newOpenSSL connects s_client to a program.
func newOpenSSL(t *testing.T, p *program, id *identity, args ...string) *openssl {
	t.Helper()
	path, err := exec.LookPath("openssl")
	if err != nil {
		missing(t, "openssl", "not installed; see make deps")
	}
	cmd := exec.Command(path, append([]string{"s_client", "-connect", p.addr, "-CAfile", id.cert, "-verify_return_error"}, args...)...)
	o := &openssl{said: newTranscript()}
	cmd.Stdout, cmd.Stderr = o.said, o.said
	if o.in, err = cmd.StdinPipe(); err != nil {
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
	return o
}

// types sends text.
func (o *openssl) types(t *testing.T, text string) {
	t.Helper()
	if _, err := io.WriteString(o.in, text); err != nil {
		t.Fatalf("%v\n%s", err, o.said)
	}
}

// shows waits until it has printed words n times.
func (o *openssl) shows(t *testing.T, words string, n int) {
	t.Helper()
	eventually(t, "s_client shows "+words, func() bool { return strings.Count(o.said.String(), words) >= n })
}

// TestOpenSSL: each suite and version of OpenSSL's own client speaks with the server, resumes,
// and changes its keys in the middle of a WebSocket.
func TestOpenSSL(t *testing.T) {
	t.Parallel()
	id := issue(t, t.TempDir(), "server", nil, "localhost")
	p := serveTLS(t, id, "--echo", "/echo")
	upgrade := head(upgradeTo("/echo")...)
	for _, args := range [][]string{
		{"-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"},
		{"-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"},
		{"-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"},
		{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"},
		{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"},
		{"-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"},
	} {
		t.Run(args[2], func(t *testing.T) {
			o := newOpenSSL(t, p, id, append(args, "-quiet", "-alpn", "http/1.1")...)
			o.types(t, upgrade+string(textFrame(0x81, "hello of s_client")))
			o.shows(t, "\x81\x11hello of s_client", 1)
		})
	}
	t.Run("key updates", func(t *testing.T) {
		o := newOpenSSL(t, p, id, "-tls1_3")
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
	t.Run("reconnect", func(t *testing.T) {
		o := newOpenSSL(t, p, id, "-tls1_2", "-reconnect")
		o.shows(t, "New, TLSv1.2", 6) // of which none is resumed: see docs/TLS.md
		o.types(t, upgrade)
		o.shows(t, "101 Switching Protocols", 1)
	})
	t.Run("an old version", func(t *testing.T) {
		o := newOpenSSL(t, p, id, "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0")
		o.shows(t, "alert protocol version", 1)
	})
}

// textFrame returns a masked frame of a short payload whose key is zero.
func textFrame(first byte, payload string) []byte {
	return append([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}, payload...)
}

// TestSecureCurl: curl gets the page, and a refusal with its body.
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
			args = append([]string{"--silent", "--show-error", "--include", "--max-time", "600", "--cacert", id.cert, "--tlsv" + version, "--tls-max", version}, args...)
			cmd := exec.Command(path, append(args, "https://"+p.addr+urlPath)...)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("curl %s: %v, %s", urlPath, err, stderr.String())
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
