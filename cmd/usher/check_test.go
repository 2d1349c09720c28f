//go:build linux

package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestCheckIsAFile: what check prints is a file of --config that says the same.
func TestCheckIsAFile(t *testing.T) {
	t.Setenv("USHER_SECRET", strings.Repeat("s", 32))
	dir := t.TempDir()
	writeGoodFiles(t, dir)
	args := []string{"check", "serve"}
	for command, flag := range allFlags(t) {
		switch {
		case command != "check serve", flag.Name == "config":
		case slices.Contains([]string{"cluster-listen", "cluster-peers", "cluster-client-listen", "cluster-creds"}, flag.Name): // not beside the others
		case flag.Name == "echo-auth":
			args = append(args, "--echo-auth=/auth")
		case flag.Name == "audience":
			args = append(args, `--audience=a: "b" # c`)
		default:
			args = append(args, "--"+flag.Name+"="+goodValues(t, dir, flag)[0])
		}
	}
	args = append(args, `--origin=*.example,null,https://a.example:8443`, "--origin=file://", "--listen=unix:/run/usher.sock?mode=0660,systemd:,systemd:a,tls://127.0.0.1:8443,tls://systemd:b", "--rooms", "a,b")
	config := filepath.Join(dir, "usher.yaml")
	var lines [2]string
	for k, args := range [][]string{args, {"check", "--config", config}} {
		var stdout, stderr strings.Builder
		if code := run(args, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
			t.Fatalf("%q: got %d, %s\n%s", args, code, stderr.String(), lines[0])
		}
		if err := os.WriteFile(config, []byte(stdout.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		_, settings, _ := strings.Cut(stdout.String(), "\n")
		lines[k] = regexp.MustCompile(`(?m) +# (flag|file|default|environment).*$`).ReplaceAllString(settings, "")
	}
	if lines[0] != lines[1] {
		t.Errorf("got\n%s\nwant\n%s", lines[1], lines[0])
	}
}

// TestCheckKeepsSecrets: what check prints can be shown to anybody, and it asks nobody for an
// address.
func TestCheckKeepsSecrets(t *testing.T) {
	dir := t.TempDir()
	writeGoodFiles(t, dir)
	set := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(goodFiles["jwks"])) }))
	defer set.Close()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	location := strings.Replace(set.URL, "://", "://s3cret:s3cret@", 1) + "/jwks.json?key=s3cret"
	t.Setenv("USHER_SECRET", "") // for the cleanup
	t.Setenv("USHER_LISTEN", busy.Addr().String())
	for _, tt := range []struct {
		secret, args string
		says         []string
	}{
		{"", "--users none", []string{"# secret: # made for this run", "users: none # flag --users"}},
		{strings.Repeat("s3cret", 6), "--admin " + busy.Addr().String(), []string{"# secret: # environment USHER_SECRET, not shown"}},
		{strings.Repeat("s3cret", 6), "--secret-file " + filepath.Join(dir, "secret-file-1"), []string{"secret-file: " + filepath.Join(dir, "secret-file-1")}},
		{"", "--jwks " + location, []string{"# secret: # none", `jwks: "` + strings.Replace(set.URL, "://", "://REDACTED@", 1) + `/jwks.json?REDACTED" # flag --jwks`}},
		{"", "--jwks=" + location, []string{"# secret: # none", "REDACTED"}},
	} {
		if os.Unsetenv("USHER_SECRET"); tt.secret != "" {
			t.Setenv("USHER_SECRET", tt.secret)
		}
		var stdout, stderr strings.Builder
		code := run(append([]string{"check"}, strings.Fields(tt.args)...), &stdout, &stderr)
		said := regexp.MustCompile(` +`).ReplaceAllString(stdout.String(), " ")
		if code != 0 || stderr.Len() > 0 || strings.Contains(said, "s3cret") || strings.Contains(said, goodFiles["secret-file"]) {
			t.Errorf("%s: got %d, %s%s", tt.args, code, said, stderr.String())
		}
		for _, want := range tt.says {
			if !strings.Contains(said, want) {
				t.Errorf("%s: got %s, want %s", tt.args, said, want)
			}
		}
	}
}
