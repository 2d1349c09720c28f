//go:build linux

package server

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestOrderOfRoutes: the more special route is tried first, whatever the order of the calls,
// and what cannot be a route is refused at once.
func TestOrderOfRoutes(t *testing.T) {
	s := &Server{}
	for _, p := range []string{"/ws/{room}", "/{rest...}", "/ws/lobby", "/ws/{room}/{seat}"} {
		s.Route(p, Route{})
	}
	var got []string
	for _, r := range s.routes {
		got = append(got, r.pattern.String())
	}
	if want := []string{"/ws/lobby", "/ws/{room}/{seat}", "/ws/{room}", "/{rest...}"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for bad, want := range map[string]string{
		"/{a}b":       `server: pattern "/{a}b": bad wildcard "{a}b"`,
		"/ws/{other}": `server: patterns "/ws/{other}" and "/ws/{room}" match the same paths`,
	} {
		func() {
			defer func() {
				if err := recover(); fmt.Sprint(err) != want {
					t.Errorf("pattern %q: got %v, want %s", bad, err, want)
				}
			}()
			s.Route(bad, Route{})
		}()
	}
}

// Members that join and leave without a walk take little more than four bytes each, and leave
// without a look at all others.
func TestShardWithoutWalks(t *testing.T) {
	const n = 100_000
	var h shard
	check := func() {
		t.Helper()
		if most := fewRecent + len(h.sorted)/4; len(h.recent) > most {
			t.Fatalf("%d of %d are not sorted, want %d at most", len(h.recent), h.size, most)
		}
	}
	for i := range uint32(n) {
		h.add(i + 1)
		check()
	}
	if took := cap(h.sorted) + cap(h.recent); took > n*8/5 {
		t.Errorf("%d members take the room of %d", n, took)
	}
	for i := range uint32(n) {
		h.remove(i*7919%n + 1)
		check()
	}
	if h.size != 0 {
		t.Errorf("%d are left", h.size)
	}
}

// A shard holds what a set would, whatever the order of joins and departures.
func TestShard(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h shard
	want := map[uint32]bool{}
	for step := range 20_000 {
		i := uint32(rng.IntN(300)) + 1
		if want[i] {
			h.remove(i)
			delete(want, i)
		} else {
			h.add(i)
			want[i] = true
		}
		if h.size != len(want) {
			t.Fatalf("step %d: size %d, want %d", step, h.size, len(want))
		}
		if step%50 != 0 {
			continue
		}
		h.tidy()
		var got []uint32
		for _, i := range h.sorted {
			if i&hasLeft == 0 {
				got = append(got, i)
			}
		}
		if len(got) != len(want) || !slices.IsSorted(got) {
			t.Fatalf("step %d: %d members, sorted %v, want %d", step, len(got), slices.IsSorted(got), len(want))
		}
		for _, i := range got {
			if !want[i] {
				t.Fatalf("step %d: %d is a member and should not be", step, i)
			}
		}
	}
}
