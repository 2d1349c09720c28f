//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// TestMain is also the way into the process of a crew.
func TestMain(m *testing.M) {
	if text := os.Getenv(crewEnv); text != "" {
		crewMain(text)
		return
	}
	os.Exit(m.Run())
}

// TestAttacks: small ones, for a moment each. They begin and end, the neighbours have their
// answers, and nothing happens that must not.
func TestAttacks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "usher")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", path, "../../cmd/usher").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	small := plan{alone: 200 * time.Millisecond, deed: 500 * time.Millisecond, seed: 1, scale: 0.01, patience: time.Hour}
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			r := perform(t.Context(), &a, path, small)
			for _, v := range r.violations {
				t.Error(v)
			}
			if r.alone.Count == 0 || r.during.Count == 0 || r.base == 0 || r.peak < r.base {
				t.Errorf("got %+v", r)
			}
			if t.Failed() || testing.Verbose() {
				t.Log(table([]row{r}), r.notes)
			}
		})
	}
}
