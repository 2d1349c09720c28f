//go:build linux

package stream

import "math/bits"

// ranks are the extensions that hold memory, in lists by the power of two of how much that
// is, so that those that hold most are found at once. A size may have changed since: then the
// list is the wrong one, until the stream has its next event or is about to be a victim.
type ranks [rankCount]uint32 // the first of each list, 0 for none

// place is where an extension is among them.
type place struct {
	prev, next uint32
	rank       uint8 // 0: in no list
	asked      bool  // to give up, in this pass: it is in no list until the next
}

// Below rankUnit bytes nobody is a victim first; a list is for twice as much as the one before.
const (
	rankUnit  = 1 << (minClass - 1)
	rankCount = 40
)

func rankOf(size int) uint8 {
	if size == 0 {
		return 0
	}
	return uint8(min(bits.Len(uint(size/rankUnit))+1, rankCount-1))
}

// rank puts extension k where it belongs.
func (t *exts[X]) rank(k uint32) {
	x := t.get(k)
	r := rankOf(t.size(x))
	if r == x.place.rank || x.place.asked {
		return
	}
	t.unrank(k)
	if r == 0 {
		return
	}
	x.place.next, x.place.rank = t.ranks[r], r
	if n := x.place.next; n != 0 {
		t.all[n].place.prev = k
	}
	t.ranks[r] = k
}

// unrank takes extension k out of its list.
func (t *exts[X]) unrank(k uint32) {
	x := t.get(k)
	at := x.place
	if at.rank == 0 {
		return
	}
	if at.next != 0 {
		t.all[at.next].place.prev = at.prev
	}
	if at.prev != 0 {
		t.all[at.prev].place.next = at.next
	} else {
		t.ranks[at.rank] = at.next
	}
	x.place = place{}
}

// rankAll looks at all there is, in a new pass.
func (t *exts[X]) rankAll() {
	for k, x := range t.all {
		if x != nil && x.slot != 0 {
			x.place.asked = false
			t.rank(uint32(k))
		}
	}
}

// largest returns one of those that hold most, 0 if there is none.
func (t *exts[X]) largest() uint32 {
	for r := uint8(rankCount - 1); r > 0; {
		k := t.ranks[r]
		if k == 0 {
			r--
			continue
		}
		if t.rank(k); t.get(k).place.rank == r {
			return k
		}
		r = max(r, t.get(k).place.rank)
	}
	return 0
}
