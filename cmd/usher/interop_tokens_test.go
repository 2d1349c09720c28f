//go:build linux

package main_test

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// tokenJob is what a foreign library is asked to do, and understood is what it answers.
type tokenJob struct {
	Mint   []foreignKey   `json:"mint"`
	Verify []foreignToken `json:"verify"`
	Claims map[string]any `json:"claims"`
}

type foreignKey struct {
	Algorithm string `json:"alg"`
	Key       string `json:"key"`
	ID        string `json:"kid"`
}

type foreignToken struct {
	Algorithm string `json:"alg"`
	Key       string `json:"key"`
	Token     string `json:"token"`
}

type understood struct {
	Minted   []string `json:"minted"`
	Verified []string `json:"verified"`
}

// exchangeTokens makes a foreign library sign tokens for us and verify ours, with every
// algorithm it knows.
func exchangeTokens(t *testing.T, unknown []string, interpreter, script string) {
	t.Helper()
	pairs := slices.DeleteFunc(newKeyPairs(t), func(k keyPair) bool { return slices.Contains(unknown, k.algorithm) })
	set := filepath.Join(t.TempDir(), "jwks.json")
	writeSet(t, set, pairs)
	p := serve(t, "--echo-auth", "/auth", "--jwks", set)
	job := tokenJob{Claims: map[string]any{"sub": "alice", "exp": time.Now().Add(time.Hour).Unix()}}
	for _, k := range pairs {
		job.Mint = append(job.Mint, foreignKey{k.algorithm, k.private, k.algorithm})
		args := []string{"token", "--sub", "bob", "--kid", k.algorithm, "--key", k.algorithm + ":" + k.privateFile}
		if k.isSecret() {
			args[5] = "--secret-file"
		}
		got := finish(t, nil, args...)
		job.Verify = append(job.Verify, foreignToken{k.algorithm, k.public, strings.TrimSpace(got.stdout)})
	}
	what, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(interpreter, script, string(what))
	cmd.Dir = clientsDir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, stderr.String())
	}
	var u understood
	if err := json.Unmarshal(out, &u); err != nil || len(u.Minted) != len(pairs) || len(u.Verified) != len(pairs) {
		t.Fatalf("%s printed %q: %v", script, out, err)
	}
	for i, k := range pairs {
		if status := p.knock(t, "/auth", u.Minted[i]); status != 101 {
			t.Errorf("%s: its token: got %d, want 101", k.algorithm, status)
		}
		if u.Verified[i] != "bob" {
			t.Errorf("%s: our token: got %q, want bob", k.algorithm, u.Verified[i])
		}
	}
	t.Logf("%d algorithms, both ways", len(pairs))
}

// TestNodeJSONWebToken: jsonwebtoken does not know EdDSA.
func TestNodeJSONWebToken(t *testing.T) {
	t.Parallel()
	exchangeTokens(t, []string{"EdDSA"}, node(t, "jsonwebtoken", "jsonwebtoken"), "node_jsonwebtoken.mjs")
}

func TestPyJWT(t *testing.T) {
	t.Parallel()
	const interpreter = "/usr/bin/python3" // Debian's package is for Debian's own
	if exec.Command(interpreter, "-c", "import jwt, cryptography").Run() != nil {
		missing(t, "python3-jwt", "not installed; see make deps")
	}
	exchangeTokens(t, nil, interpreter, "python_jwt.py")
}
