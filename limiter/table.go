package limiter

import (
	"math/bits"
	"slices"
)

// table maps hashes to numbers other than 0, which is what it says of a hash that is
// not in it. It has no pointers, so that the garbage collector never looks at it, and
// takes 20 to 24 bytes an entry while it grows: a hash goes to the first free place
// from its home on, as long as four of five are taken, and then there is half as much
// room as entries to spare. The zero table is empty. It belongs to one goroutine.
type table struct {
	entries []entry
	n       int // how many are taken
}

// entry is a place of a table, free if value is 0.
type entry struct{ hash, value uint64 }

// fewEntries is how many places a table always keeps.
const fewEntries = 8

func (t *table) get(hash uint64) uint64 {
	if t.n == 0 {
		return 0
	}
	return t.entries[t.find(hash)].value
}

// put notes a value; 0 takes the hash out.
func (t *table) put(hash, value uint64) {
	if value == 0 {
		t.remove(hash)
		return
	}
	if len(t.entries) == 0 {
		t.resize()
	}
	i := t.find(hash)
	if t.entries[i].value == 0 {
		if t.n++; 5*t.n > 4*len(t.entries) {
			t.resize()
			i = t.find(hash)
		}
	}
	t.entries[i] = entry{hash, value}
}

func (t *table) remove(hash uint64) {
	if t.n == 0 {
		return
	}
	if i := t.find(hash); t.entries[i].value != 0 {
		t.vacate(i)
		t.shrink()
	}
}

// sweep takes out the values that are of no use. It looks at each place.
func (t *table) sweep(isUseless func(value uint64) bool) {
	for i := 0; i < len(t.entries); {
		if v := t.entries[i].value; v != 0 && isUseless(v) {
			t.vacate(i) // another may be there now
		} else {
			i++
		}
	}
	t.shrink()
}

// find returns the place of a hash, or the free one where it would go. There are free ones.
func (t *table) find(hash uint64) int {
	i := t.home(hash)
	for t.entries[i].value != 0 && t.entries[i].hash != hash {
		i = t.after(i)
	}
	return i
}

// home is by the highest bits of a hash, whatever number of places there are.
func (t *table) home(hash uint64) int {
	hi, _ := bits.Mul64(hash, uint64(len(t.entries)))
	return int(hi)
}

func (t *table) after(i int) int {
	if i++; i == len(t.entries) {
		return 0
	}
	return i
}

// vacate frees place i, and moves those up that are behind it because it was taken (Knuth's
// algorithm R, TAOCP 6.4).
func (t *table) vacate(i int) {
	t.n--
	for j := t.after(i); t.entries[j].value != 0; j = t.after(j) {
		if t.distance(t.home(t.entries[j].hash), j) >= t.distance(i, j) {
			t.entries[i] = t.entries[j]
			i = j
		}
	}
	t.entries[i] = entry{}
}

// distance is by how many places j is after i, round the end if need be.
func (t *table) distance(i, j int) int {
	if j < i {
		j += len(t.entries)
	}
	return j - i
}

// shrink gives memory back if three of four places are free.
func (t *table) shrink() {
	if len(t.entries) > fewEntries && t.n < len(t.entries)/4 {
		t.resize()
	}
}

// resize makes room for n entries, and half as many.
func (t *table) resize() {
	old := t.entries
	t.entries = slices.Grow([]entry(nil), max(t.n+t.n/2, fewEntries))
	t.entries = t.entries[:cap(t.entries)] // the allocator rounds up
	for _, e := range old {
		if e.value != 0 {
			t.entries[t.find(e.hash)] = e
		}
	}
}
