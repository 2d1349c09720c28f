//go:build linux

package server

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestPatterns(t *testing.T) {
	s := &Server{}
	for _, p := range []string{"/ws/{room}", "/ws/lobby", "/", "/{rest...}", "/a/{x}/b/{y}", "/a/{x}/b/"} {
		s.Route(p, Route{})
	}
	for _, c := range []struct {
		path, pattern string
		values        []string
	}{
		{"/ws/lobby", "/ws/lobby", nil},
		{"/ws/lobb%79", "/ws/lobby", nil},
		{"/ws/attic", "/ws/{room}", []string{"attic"}},
		{"/ws/a%2Fb", "/ws/{room}", []string{"a/b"}},
		{"/ws/%C3%A9", "/ws/{room}", []string{"é"}},
		{"/", "/", nil},
		{"/ws/", "/{rest...}", []string{"ws/"}},
		{"/ws/a/b", "/{rest...}", []string{"ws/a/b"}},
		{"/a/1/b/2", "/a/{x}/b/{y}", []string{"1", "2"}},
		{"/a/1/b/", "/a/{x}/b/", []string{"1"}},
		{"/a/1/b", "/{rest...}", []string{"a/1/b"}},
		{"/ws/%zz", "", nil},
		{"*", "", nil},
	} {
		pattern, values := "", []string(nil)
		for _, r := range s.routes {
			if v, ok := r.match(c.path, nil); ok {
				pattern, values = r.pattern, v
				break
			}
		}
		if pattern != c.pattern || !slices.Equal(values, c.values) {
			t.Errorf("%s: got %q %q, want %q %q", c.path, pattern, values, c.pattern, c.values)
		}
	}
	for _, bad := range []string{"", "x", "/{", "/{}", "/{a}b", "/a{b}", "/{a...}/b", "/{a}/{a}", "GET /x", "/{$}", "/ws/{other}"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("pattern %q was taken", bad)
				}
			}()
			s.Route(bad, Route{})
		}()
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
		if h.size() != len(want) {
			t.Fatalf("step %d: size %d, want %d", step, h.size(), len(want))
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
