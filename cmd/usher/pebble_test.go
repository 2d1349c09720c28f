//go:build linux

package main_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// pebble is a running Pebble: a CA for tests, by Let's Encrypt. Every name leads to
// 127.0.0.1, and port 443 of it to a server of ours.
type pebble struct {
	url   string         // of its directory
	trust string         // the certificate with which it speaks itself, in a file
	root  string         // the one that it signs with, in a file
	roots *x509.CertPool // the same

	door *hall
	cmd  *exec.Cmd
	done chan struct{}
}

// newPebble starts one, whose certificates live for as many seconds. PEBBLE_VA_NOSLEEP has it look
// at once; of its nonces one in twenty is bad, as it is by default.
func newPebble(t *testing.T, seconds int) *pebble {
	t.Helper()
	path, resolver := installedGo(t, "pebble"), installedGo(t, "pebble-challtestsrv")
	dir := t.TempDir()
	id := issue(t, dir, "pebble", nil, "localhost")
	var from int
	if _, err := fmt.Sscanf(freePorts(t, 4), "{%d..", &from); err != nil {
		t.Fatal(err)
	}
	at := func(k int) string { return fmt.Sprintf("127.0.0.1:%d", from+k) }
	p := &pebble{url: "https://" + at(0) + "/dir", trust: id.cert, root: filepath.Join(dir, "root.pem"), door: newHall(t), done: make(chan struct{})}
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": at(0), "managementListenAddress": at(1), "certificate": id.cert, "privateKey": id.key,
		"tlsPort": p.door.port(), "httpPort": 1, "keyAlgorithm": "ecdsa",
		"retryAfter": map[string]any{"authz": 1, "order": 1},
		"profiles":   map[string]any{"default": map[string]any{"description": "for tests", "validityPeriod": seconds}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "pebble.json")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	daemon(t, exec.Command(resolver, "-http01=", "-https01=", "-doh=", "-tlsalpn01=", "-dnsserver="+at(2), "-management="+at(3), "-defaultIPv6="), nil)
	p.cmd = exec.Command(path, "-config", file, "-dnsserver", at(2))
	p.cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1")
	daemon(t, p.cmd, p.done)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: id.roots}, DisableKeepAlives: true}}
	eventually(t, "Pebble answers", func() bool {
		resp, err := client.Get("https://" + at(1) + "/roots/0")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		p.roots = x509.NewCertPool()
		return err == nil && p.roots.AppendCertsFromPEM(text) && os.WriteFile(p.root, text, 0o600) == nil
	})
	return p
}

// stop ends it.
func (p *pebble) stop() {
	p.cmd.Process.Kill()
	<-p.done
}

// serve is serveTLS, but with certificates of Pebble's.
func (p *pebble) serve(t *testing.T, domains, dir string, flags ...string) *program {
	t.Helper()
	server := p.start(t, domains, dir, flags...)
	p.door.leadTo(server.addr)
	return server
}

// start is serve, but port 443 leads where it did before.
func (p *pebble) start(t *testing.T, domains, dir string, flags ...string) *program {
	t.Helper()
	args := []string{"serve", "--listen", "tls://127.0.0.1:0", "--acme", domains, "--acme-dir", dir, "--acme-server", p.url,
		"--users", "demo", "--log-format", "json", "--handshake-timeout", "10m"}
	cmd := usher(t, append(args, flags...)...)
	cmd.Env = append(cmd.Env, "SSL_CERT_FILE="+p.trust)
	return start(t, cmd)
}

// has reports whether the program shows a certificate of the domain that Pebble has signed.
func (p *pebble) has(server *program, domain string) bool {
	c, err := tls.Dial("tcp", server.addr, &tls.Config{RootCAs: p.roots, ServerName: domain})
	if err == nil {
		c.Close()
	}
	return err == nil
}

// installedGo returns a program that make deps installs with Go.
func installedGo(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	out, err := exec.Command("go", "env", "GOBIN", "GOPATH").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(out), "\n")
	dirs := []string{lines[0]}
	for _, dir := range filepath.SplitList(lines[1]) {
		dirs = append(dirs, filepath.Join(dir, "bin"))
	}
	for _, dir := range dirs {
		if path, err := exec.LookPath(filepath.Join(dir, name)); dir != "" && err == nil {
			return path
		}
	}
	missing(t, name, "not installed; see make deps")
	return ""
}

// daemon runs a command until the test ends, and closes done, if there is one, when it has ended.
func daemon(t *testing.T, cmd *exec.Cmd, done chan struct{}) {
	t.Helper()
	said := newTranscript()
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if done == nil {
		done = make(chan struct{})
	}
	go func() {
		defer close(done)
		cmd.Wait()
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		if <-done; t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(cmd.Path), tail(said.String(), 8<<10))
		}
	})
}

// hall is a port that leads to another, which is yet to be said: clients that come earlier wait.
type hall struct {
	ln    net.Listener
	mu    sync.Mutex
	known sync.Cond
	to    string
}

func newHall(t *testing.T) *hall {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &hall{ln: ln}
	h.known.L = &h.mu
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() { h.pass(c) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		h.leadTo("127.0.0.1:1") // where nobody is
		all.Wait()
	})
	return h
}

func (h *hall) port() int { return h.ln.Addr().(*net.TCPAddr).Port }

// leadTo says where those that come are led.
func (h *hall) leadTo(addr string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.to = addr
	h.known.Broadcast()
}

// pass passes on what both sides of a connection say.
func (h *hall) pass(c net.Conn) {
	defer c.Close()
	h.mu.Lock()
	for h.to == "" {
		h.known.Wait()
	}
	to := h.to
	h.mu.Unlock()
	other, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer other.Close()
	var back sync.WaitGroup
	back.Go(func() {
		io.Copy(c, other)
		c.(*net.TCPConn).CloseWrite()
	})
	io.Copy(other, c)
	other.(*net.TCPConn).CloseWrite()
	back.Wait()
}
