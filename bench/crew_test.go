//go:build linux

package bench

import (
	"strings"
	"testing"
)

// TestNoCrew: what keeps the clients from beginning is said, and nothing is left of it.
func TestNoCrew(t *testing.T) {
	f := new(fake).serve(t)
	for want, change := range map[string]func(c *Common){
		"do not fit into a process": func(c *Common) { c.PerProcess = 1 },
		"no such file":              func(c *Common) { c.PerProcess, c.Worker = 1, []string{"/nowhere"} },
	} {
		common := f.short(2)
		change(&common)
		if _, err := (Echo{Common: common}).Run(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}
