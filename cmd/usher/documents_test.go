//go:build linux

package main_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestDocumentedCommands: a reader who copies commands from the documents has what they name. In an
// empty directory, behind what their block makes, usher check takes each usher serve and usher guard.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		missing(t, "openssl", "not installed; see make deps")
	}
	block := regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")
	for _, name := range []string{"README.md", "docs/API.md", "docs/AUTH.md", "docs/CLUSTER.md", "docs/EVENTS.md", "docs/GUARD.md", "docs/TLS.md"} {
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		checked := 0
		for _, m := range block.FindAllStringSubmatch(string(text), -1) {
			if m[1] == "" || m[1] == "sh" || m[1] == "console" {
				checked += followed(t, name, m[2])
			}
		}
		if checked == 0 {
			t.Errorf("%s: no command was found", name)
		}
	}
}

// followed does what the lines of a block say, as far as they make files or start usher, and
// returns how often they start it.
func followed(t *testing.T, name, lines string) (started int) {
	t.Helper()
	dir := t.TempDir()
	for line := range strings.Lines(lines) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "$ ")
		command, rest, _ := strings.Cut(line, " ")
		switch command {
		case "htpasswd": // asks for a password
			writeFile(t, filepath.Join(dir, "users"), htpasswdFile)
			continue
		case "usher":
			if !strings.HasPrefix(rest, "serve ") && !strings.HasPrefix(rest, "guard ") || strings.Contains(rest, "--acme-dir") {
				continue // usher check would make that directory
			}
			if strings.Contains(rest, "--tls-cert") { // of a CA
				issue(t, dir, "chat", nil, "chat.example")
			}
			started++
			line = `"$0" check ` + rest
		case "openssl", "echo":
		default:
			continue
		}
		cmd := exec.Command("bash", "-euc", line, usher(t).Path)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %s\n%v: %s", name, line, err, out)
		}
	}
	return started
}

// documented returns the first block of a language in a document.
func documented(t *testing.T, name, language string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../docs", name))
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(text), "```"+language+"\n")
	code, _, ok := strings.Cut(code, "```\n")
	if !ok {
		t.Fatalf("docs/%s has no %s", name, language)
	}
	return code
}

// TestDocumentedSessions: what docs/CLIENTS.md has a backend give its users lets them in where it says,
// and nowhere else.
func TestDocumentedSessions(t *testing.T) {
	t.Parallel()
	p := serve(t)
	for name, f := range map[string]func(t *testing.T) *exec.Cmd{
		"python": func(t *testing.T) *exec.Cmd {
			if exec.Command(debian, "-c", "import jwt").Run() != nil {
				missing(t, "python3-jwt", "not installed; see make deps")
			}
			return exec.Command(debian, "-c", documented(t, "CLIENTS.md", "python")+"print(session('Zoë'))")
		},
		"node": func(t *testing.T) *exec.Cmd {
			code := documented(t, "CLIENTS.md", "js") + "console.log(session('Zoë'))"
			cmd := exec.Command(node(t, "jsonwebtoken", "jsonwebtoken"), "--input-type=module", "--eval", code)
			cmd.Dir = clientsDir // where its modules are
			return cmd
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := f(t)
			cmd.Env = append(os.Environ(), "USHER_SECRET="+secret)
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			var session struct{ Token string }
			if err := json.Unmarshal(out, &session); err != nil {
				t.Fatalf("%s: %v", out, err)
			}
			if got := p.knock(t, "/ws/lobby", session.Token); got != 101 {
				t.Errorf("the lobby: got %d, want 101", got)
			}
			if got := p.knock(t, "/ws/attic", session.Token); got != 403 {
				t.Errorf("another room: got %d, want 403", got)
			}
		})
	}
}
