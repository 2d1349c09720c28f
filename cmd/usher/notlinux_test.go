//go:build linux

package main_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestOtherSystems: where there is no epoll, go build says so in one sentence.
func TestOtherSystems(t *testing.T) {
	t.Parallel()
	if _, err := os.ReadFile("notlinux.go"); err != nil { // a change there makes a cached result stale
		t.Fatal(err)
	}
	const sentence = `"usher runs on Linux only: its event loops need epoll"`
	for _, system := range []string{"darwin", "freebsd", "windows"} {
		cmd := exec.Command("go", "build", "-o", os.DevNull, ".")
		cmd.Env = append(os.Environ(), "GOOS="+system, "GOARCH=amd64", "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if err == nil || len(lines) != 2 || !strings.HasPrefix(lines[0], "# ") || !strings.Contains(lines[1], sentence) {
			t.Errorf("%s: got %v and\n%s\nwant the package and one line with %s", system, err, out, sentence)
		}
	}
}
