//go:build linux

package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Clients that the tests of every day do without: make exotic installs them, and runs these.

const exoticDir = "testdata/exotic"

// exotic returns where a program is, or skips the test.
func exotic(t *testing.T, name string) string {
	t.Helper()
	if os.Getenv("USHER_EXOTIC") == "" {
		t.Skip("make exotic runs it")
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// javaSeen is what Java's client saw.
type javaSeen struct {
	seen
	Page       string `json:"page"`
	LogIn      string `json:"logIn"`
	TLS        string `json:"tls"`
	Fragmented string `json:"fragmented"`
	TooLarge   int    `json:"tooLarge"` // the close code
}

// TestJava: java.net.http does the common job and asks for the page, in the clear and over TLS:
// new keys after 100 KB, a certificate of its own, tickets. It would rather speak HTTP/2.
func TestJava(t *testing.T) {
	interpreter := exotic(t, "java")
	dir := t.TempDir()
	id, ca := issue(t, dir, "server", nil, "localhost"), issue(t, dir, "ca", nil, "CA")
	member := issue(t, dir, "member", ca, "member")
	for name, c := range map[string]struct {
		version string
		flags   []string
		args    []string
	}{
		"in the clear":  {},
		"TLS 1.2":       {version: "TLSv1.2"},
		"TLS 1.3":       {version: "TLSv1.3"},
		"a member, 1.2": {"TLSv1.2", []string{"--tls-client-ca", ca.cert}, []string{"cert=" + member.cert, "key=" + member.key}},
		"a member, 1.3": {"TLSv1.3", []string{"--tls-client-ca", ca.cert}, []string{"cert=" + member.cert, "key=" + member.key}},
	} {
		t.Run(name, func(t *testing.T) {
			var with *identity
			args := append([]string{"Talk.java"}, c.args...)
			if c.version != "" {
				with = id
				args = append(args, "ca="+id.cert, "tls="+c.version)
			}
			p, j := jobAt(t, with, "alice", append(c.flags, "--admin", "127.0.0.1:0")...)
			args = append(args, "echo="+j.Echo, "refused="+j.Refused, "chat="+j.Chat, "page="+j.Page, "sizes="+strings.Trim(fmt.Sprint(sizes), "[]"))
			var s javaSeen
			runIn(t, exoticDir, &s, interpreter, args...)
			check(t, s.seen, "alice", everything)
			if s.Page != "200 HTTP_1_1 true" || s.LogIn != "200 true" || s.Fragmented != "in three fragments" || s.TooLarge != 1009 || !strings.HasPrefix(s.TLS, c.version) {
				t.Errorf("got %+v", s)
			}
			checkTLS(t, p, c.version == "TLSv1.3")
		})
	}
}

// checkTLS looks that no handshake has failed, and whether tickets were used.
func checkTLS(t *testing.T, p *program, resumes bool) {
	t.Helper()
	st := statsOf(t, strings.TrimSpace(strings.TrimPrefix(<-p.stdout.await("admin on "), "admin on "))).TLS
	if len(st.Failed) > 0 || (st.Resumed > 0) != resumes {
		t.Errorf("got %+v, want tickets %t", st, resumes)
	}
}

// TestFirefox: people log in, are refused, and talk on the page in Firefox; and a page's script does
// the common job.
func TestFirefox(t *testing.T) {
	path := exotic(t, "firefox-esr")
	interpreter := exotic(t, "node")
	id := issue(t, t.TempDir(), "server", nil, "localhost")
	for name, c := range map[string]struct {
		id     *identity
		newest int // version, in Firefox's numbers
	}{"in the clear": {nil, 4}, "TLS 1.2": {id, 3}, "TLS 1.3": {id, 4}} {
		t.Run(name, func(t *testing.T) {
			p, j := jobAt(t, c.id, "carol", "--admin", "127.0.0.1:0")
			j.Browser = path
			var s struct {
				seen
				Page   []string `json:"page"`
				Errors []string `json:"errors"`
			}
			runIn(t, exoticDir, &s, interpreter, "firefox.mjs", string(mustJSON(struct {
				job
				Newest int `json:"newest"`
			}{j, c.newest})))
			check(t, s.seen, "carol", shows{closeCode: 1000, refusedAsCode: 1006})
			if want := "log-in refused, room refused, talked"; strings.Join(s.Page, ", ") != want || len(s.Errors) > 0 {
				t.Errorf("the page: got %q, %q, want %s", s.Page, s.Errors, want)
			}
			checkTLS(t, p, c.id != nil && c.newest == 4)
		})
	}
}
