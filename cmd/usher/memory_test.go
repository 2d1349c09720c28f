//go:build linux

package main

import "testing"

// TestCrowdsGarbage: memory is given back once when a crowd has come or gone and it is quiet,
// and not while others follow, for a few, or soon again.
func TestCrowdsGarbage(t *testing.T) {
	m := &memory{budget: 256 << 20, buffered: func() (int, int) { return 0, 0 }}
	sockets := 0
	m.sockets = func() int { return sockets }
	for k, c := range []struct {
		sockets int
		isDue   bool
	}{
		{0, false}, {fewSockets, false}, {fewSockets, false}, // few
		{3000, false}, {5000, false}, {5010, true}, {5010, false}, // it comes, and has come
		{19_000, false}, {19_000, false}, {19_000, false}, {19_000, true}, // not so soon again
		{19_000, false}, {19_000, false}, {19_000, false}, {19_000, false}, {19_000, false},
		{23_000, false}, {23_000, false}, // no quarter more
		{10, false}, {10, true}, {10, false}, // all have gone
	} {
		if sockets = c.sockets; m.isDue() != c.isDue {
			t.Errorf("look %d, at %d sockets: due %v, want %v", k, c.sockets, !c.isDue, c.isDue)
		}
	}
}
