package docs

import (
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestEmbeddingCompiles: the programs of README, EMBEDDING.md and ENGINE.md are programs.
func TestEmbeddingCompiles(t *testing.T) {
	var blocks []string
	for _, name := range []string{"../README.md", "EMBEDDING.md", "ENGINE.md"} {
		page, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range strings.Split(string(page), "```go\n")[1:] {
			if name == "EMBEDDING.md" || strings.HasPrefix(block, "package ") {
				blocks = append(blocks, block)
			}
		}
	}
	if len(blocks) < 6 {
		t.Fatalf("%d programs, want six", len(blocks))
	}
	for _, dir := range []string{"../upgrade", "../upgrade/forwardauth", "../frame"} {
		if _, err := os.ReadDir(dir); err != nil { // a change there makes a cached result stale
			t.Fatal(err)
		}
	}
	for i, block := range blocks {
		program, _, closed := strings.Cut(block, "```\n")
		if !closed {
			t.Fatalf("program %d does not end", i)
		}
		file := filepath.Join(t.TempDir(), "main.go")
		if err := os.WriteFile(file, []byte(program), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("go", "vet", file)
		cmd.Dir = ".." // whose go.mod says what is imported
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("program %d: %v\n%s", i+1, err, out)
		}
		if tidy, err := format.Source([]byte(program)); err != nil || string(tidy) != program {
			t.Errorf("program %d is not formatted: %v", i+1, err)
		}
	}
}
