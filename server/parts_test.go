//go:build linux

package server

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
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
			if i&gone == 0 {
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

func TestTimersComeInOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var h timers
	var want []time.Duration
	for range 1000 {
		at := time.Duration(rng.IntN(500))
		h.push(timer{at: at})
		want = append(want, at)
		if rng.IntN(3) == 0 {
			slices.Sort(want)
			if got := h.pop().at; got != want[0] {
				t.Fatalf("got %v, want %v", got, want[0])
			}
			want = want[1:]
		}
	}
	slices.Sort(want)
	for _, at := range want {
		if got := h.pop().at; got != at {
			t.Fatalf("got %v, want %v", got, at)
		}
	}
}

func TestLingerersAreAQueue(t *testing.T) {
	var q lingerers
	in, out := uint64(0), uint64(0)
	rng := rand.New(rand.NewPCG(5, 6))
	for range 100_000 {
		if rng.IntN(2) == 0 || in == out {
			q.push(in, time.Duration(in))
			in++
			continue
		}
		if tok, ok := q.popDue(time.Duration(in)); !ok || tok != out {
			t.Fatalf("got %d %v, want %d", tok, ok, out)
		}
		out++
	}
	if most := 2*int(in-out) + 200; len(q.queue) > max(most, 4096) {
		t.Errorf("%d entries are kept for %d", len(q.queue), in-out)
	}
	if _, ok := q.popDue(0); ok && in > out {
		t.Error("an entry was due before its time")
	}
}

func TestBuffers(t *testing.T) {
	var p buffers
	rng := rand.New(rand.NewPCG(7, 8))
	var lent [][]byte
	sum := 0
	for range 10_000 {
		if rng.IntN(2) == 0 || len(lent) == 0 {
			n := rng.IntN(1 << (1 + rng.IntN(18)))
			b := p.Get(n)
			if len(b) != 0 || cap(b) < n {
				t.Fatalf("Get(%d): len %d, cap %d", n, len(b), cap(b))
			}
			lent = append(lent, b)
			sum += cap(b)
		} else {
			at := rng.IntN(len(lent))
			b := lent[at]
			lent = slices.Delete(lent, at, at+1)
			sum -= cap(b)
			if rng.IntN(2) == 0 {
				b = b[:cap(b)/2]
			}
			p.Put(b)
		}
		if p.inUse != sum {
			t.Fatalf("in use: %d, want %d", p.inUse, sum)
		}
		if p.kept > keepBytes {
			t.Fatalf("%d bytes are kept, more than %d", p.kept, keepBytes)
		}
	}
}

func TestGrowKeepsWhatThereIs(t *testing.T) {
	var p buffers
	var b []byte
	var want []byte
	for k := range 2000 {
		piece := []byte{byte(k), byte(k >> 8), 3}
		b = p.grow(b, piece)
		want = append(want, piece...)
	}
	if !slices.Equal(b, want) {
		t.Error("bytes were lost in growing")
	}
	p.Put(b)
	if p.inUse != 0 {
		t.Errorf("%d bytes are still lent", p.inUse)
	}
}
