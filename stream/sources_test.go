//go:build linux

package stream

import (
	"fmt"
	"net/netip"
	"testing"
)

// checkSources holds what the sources say of their members against what these are.
func checkSources(t testing.TB, of *sources, want int) {
	t.Helper()
	of.mu.Lock()
	defer of.mu.Unlock()
	if got := len(of.members) - 1 - len(of.free); got != want {
		t.Errorf("%d members, want %d", got, want)
	}
	listed, refs := 0, 0
	for at, s := range of.by {
		if at != s.addr || s.refs == 0 {
			t.Errorf("%v is found at %v, with %d members", s.addr, at, s.refs)
		}
		refs += s.refs
		for st := range numStandings {
			l, n := s.lists[st], 0
			for k, before := l.first, uint32(0); k != 0; before, k = k, of.members[k].next {
				n++
				if m := of.members[k]; m.source != s || m.standing != st || m.prev != before || before == 0 && m.seq != l.since {
					t.Errorf("member %d of %v is %+v", k, at, m)
				}
			}
			if n != l.n || n > 0 && of.most[st].all[l.at] != s {
				t.Errorf("%v has %d members of standing %d, want %d", at, n, st, l.n)
			}
			listed += n
		}
	}
	for st := range numStandings {
		r, total := &of.most[st], 0
		for k, s := range r.all {
			total += s.lists[st].n
			if k > 0 && r.Less(k, (k-1)/2) {
				t.Errorf("standing %d: the source at %d comes before that above it", st, k)
			}
		}
		if total != of.total[st] {
			t.Errorf("standing %d: %d in all, want %d", st, total, of.total[st])
		}
		listed -= total
	}
	if listed != 0 || refs != want {
		t.Errorf("%d are listed and not ranked, %d belong to sources, want 0 and %d", listed, refs, want)
	}
}

// tenNet is one of many addresses.
func tenNet(n byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, n}) }

// Whose turn it is to make room.
func TestPick(t *testing.T) {
	const a, b, c = 1, 2, 3
	type in struct {
		from byte
		is   standing
	}
	for _, x := range []struct {
		name string
		all  []in // in the order in which they came
		from byte // the newcomer's
		want int  // of all; -1: none
	}{
		{"nobody", nil, a, -1},
		{"those with a place do not", []in{{a, placed}, {a, placed}}, b, -1},
		{"the oldest of the address with most", []in{{a, surplus}, {b, surplus}, {b, surplus}, {a, parting}}, c, 1},
		{"its own", []in{{b, surplus}, {a, surplus}, {b, surplus}}, b, 0},
		{"the silent before those that linger", []in{{a, parting}, {a, parting}, {a, parting}, {b, surplus}, {b, surplus}}, c, 3},
		{"those that linger before a few that came alone", []in{{c, surplus}, {a, parting}, {b, parting}}, b, 1},
		{"the few that linger behind many that came alone", []in{{a, parting}, {b, surplus}, {c, surplus}}, a, 1},
		{"the address that lingers most", []in{{a, parting}, {b, parting}, {b, parting}}, c, 1},
		{"nobody for one who has more", []in{{a, parting}, {b, surplus}, {a, parting}, {a, parting}}, a, 0},
		{"nor for one who has more of the silent", []in{{b, parting}, {a, parting}, {a, surplus}}, a, 2},
	} {
		t.Run(x.name, func(t *testing.T) {
			var of sources
			of.init()
			for k, m := range x.all {
				of.add(tenNet(m.from), member{standing: m.is, tok: uint64(k) + 1})
			}
			got := -1
			if m, ok := of.pick(tenNet(x.from)); ok {
				got = int(m.tok) - 1
			}
			if got != x.want {
				t.Errorf("picked %d, want %d", got, x.want)
			}
			checkSources(t, &of, len(x.all))
		})
	}
}

// Which stream has a place by saying what it wants, and which one loses its own.
func TestClaim(t *testing.T) {
	const a, b, c = 1, 2, 3
	for _, x := range []struct {
		name    string
		most    int
		placed  []byte  // those that came first
		opinion opinion // of one that came beyond, from c
		want    bool
		loser   int // of placed; -1: none
	}{
		{"a free place", 3, []byte{a, a}, unasked, true, -1},
		{"none", 0, nil, unasked, false, -1},
		{"the oldest of the address with most", 3, []byte{b, a, a}, unasked, true, 1},
		{"one of its own if it has too many", 4, []byte{a, a, c}, over, true, 2},
		{"or any", 2, []byte{a, b}, over, true, 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			var of sources
			of.init()
			var counted account
			var all []uint32
			for _, from := range x.placed {
				counted.seat(x.most)
				all = append(all, of.add(tenNet(from), member{}))
			}
			k := of.add(tenNet(c), member{standing: surplus, opinion: x.opinion})
			counted.reserved.Add(1)
			m, got := of.claim(k, &counted, x.most)
			if got != x.want || m.opinion != x.opinion {
				t.Errorf("has a place: %v, want %v; it was %+v", got, x.want, m)
			}
			reserves := 0
			for n, k := range all {
				if got := of.members[k].standing; (got == surplus) != (n == x.loser) {
					t.Errorf("number %d has the standing %d, want %d to have lost its place", n, got, x.loser)
				} else if got == surplus {
					reserves++
				}
			}
			if !got {
				reserves++
			}
			if counted.reserved.Load() != int64(reserves) || int(counted.live.Load()) != len(all)+1-reserves {
				t.Errorf("%d are counted in the reserve and %d beside it, want %d and %d",
					counted.reserved.Load(), counted.live.Load(), reserves, len(all)+1-reserves)
			}
			checkSources(t, &of, len(all))
		})
	}
}

// BenchmarkSources is what the sources cost a connection from its beginning to its end,
// beside many others of few or many addresses.
func BenchmarkSources(b *testing.B) {
	for _, addresses := range []int{1, 10_000} {
		b.Run(fmt.Sprint(addresses, " addresses"), func(b *testing.B) {
			var of sources
			of.init()
			var counted account
			at := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}) }
			for n := range 10_000 {
				of.add(at(n%addresses), member{standing: standing(n % int(numStandings))})
			}
			b.ReportAllocs()
			for n := 0; b.Loop(); n++ {
				from := at(n % addresses)
				k := of.add(from, member{})
				of.adopted(k, 1)
				of.claim(k, &counted, 1)
				of.remove(of.add(from, member{standing: parting}))
			}
		})
	}
}
