//go:build linux

package bench

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestContest: a difference is one only beyond what usher shows against itself.
func TestContest(t *testing.T) {
	asked := []question{{name: "q", title: "A question", unit: Nanos}}
	c := newContest("machine", asked, []contender{{name: self, command: "c"}, {name: again, command: "c"}, {name: "near", command: "c"}, {name: "far", command: "c"}, {name: "broken", command: "c"}, {name: "short", command: "c"}})
	for round := range 9 {
		base := Number(1000 * (1 + 0.4*float64(round%2))) // a machine of two speeds
		drift := Number(1 + 0.02*float64(round%3))
		c.record(0, 0, round, Run{Value: base}, nil)
		c.record(0, 1, round, Run{Value: base * drift}, nil)
		c.record(0, 2, round, Run{Value: base * 0.97}, nil)
		c.record(0, 3, round, Run{Value: base * 1.2, Faults: 1}, nil)
		c.record(0, 4, round, Run{}, errors.New("it fell"))
		c.record(0, 5, round, Run{}, errors.New("withheld: too short"))
	}
	c.finish(9)
	a := c.Answers[0]
	for k, want := range []string{"", "1.00 to 1.04 ×: the noise", "0.97 ×, not distinguishable", "1.20 ×", "failed: it fell", "withheld: too short"} {
		if got := a.Stands[k].verdict(); got != want {
			t.Errorf("%s: got %q, want %q", a.Stands[k].Name, got, want)
		}
	}
	dir := t.TempDir()
	if err := c.Write(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"versus.json", "versus.md", "versus-q.svg"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Size() == 0 {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if got := c.Markdown(); !has(got, "| far | 1.20 µs | 1.20 µs–1.68 µs | 1.20 × | 9 |", "A question", "versus-q.svg") {
		t.Errorf("got %s", got)
	}
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		values []Number
		want   Number
	}{{[]Number{3}, 3}, {[]Number{3, 1, 2}, 2}, {[]Number{4, 1, 3, 2}, 2.5}} {
		if got := median(tt.values); got != tt.want {
			t.Errorf("%v: got %g, want %g", tt.values, got, tt.want)
		}
	}
}
