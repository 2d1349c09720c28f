package limiter

import (
	"slices"
	"unsafe"
)

// table maps hashes to numbers other than 0, which is what it says of a hash that is
// not in it. An entry takes 22 to 26 bytes: entries lie one behind the other, in chunks,
// and those of one chain lead to each other. So a table that grows copies no entry and leaves
// little garbage; when one is taken out, the last takes its place, and the memory of those
// that are gone comes back. The garbage collector looks at nothing but the list of chunks. The
// zero table is empty. It belongs to one goroutine.
type table struct {
	heads  []uint32 // the first entry of each chain; their number is a power of two
	chunks []*entries
	n      uint32 // entries 1 to n are taken, and 0 is none
}

// entries is a chunk of them.
type entries struct {
	hash, value [chunkEntries]uint64
	next        [chunkEntries]uint32
}

const (
	chunkEntries = 32
	fewHeads     = 16
)

func (t *table) get(hash uint64) uint64 {
	i := t.find(hash)
	if i == 0 {
		return 0
	}
	c, k := t.at(i)
	return c.value[k]
}

// put notes a value; 0 takes the hash out.
func (t *table) put(hash, value uint64) {
	i := t.find(hash)
	switch {
	case value == 0 && i == 0:
		return
	case value == 0:
		t.remove(i)
		t.shrink()
		return
	case i == 0:
		i = t.add(hash)
	}
	c, k := t.at(i)
	c.value[k] = value
}

// sweep takes out the values that are of no use. It looks at each entry.
func (t *table) sweep(isUseless func(value uint64) bool) {
	t.replace(func(value uint64) uint64 {
		if isUseless(value) {
			return 0
		}
		return value
	})
}

// replace notes f's value in the place of each, and takes out those for which that is 0.
func (t *table) replace(f func(value uint64) uint64) {
	for i := t.n; i > 0; i-- {
		c, k := t.at(i)
		if c.value[k] = f(c.value[k]); c.value[k] == 0 {
			t.remove(i) // and the last, which was looked at, is here
		}
	}
	t.shrink()
}

// size returns how many bytes the entries take.
func (t *table) size() int {
	const size = int(unsafe.Sizeof(entries{})) / chunkEntries
	return int(t.n) * size
}

// at returns where entry i is.
func (t *table) at(i uint32) (c *entries, k uint32) {
	return t.chunks[(i-1)/chunkEntries], (i - 1) % chunkEntries
}

// find returns the entry of a hash, 0 if there is none.
func (t *table) find(hash uint64) uint32 {
	if t.n == 0 {
		return 0
	}
	for i := *t.head(hash); i != 0; {
		c, k := t.at(i)
		if c.hash[k] == hash {
			return i
		}
		i = c.next[k]
	}
	return 0
}

// head is by the highest bits of a hash: the lowest are those of a Keyed's shard.
func (t *table) head(hash uint64) *uint32 {
	return &t.heads[hash>>32&uint64(len(t.heads)-1)]
}

// add makes an entry for a hash that has none.
func (t *table) add(hash uint64) uint32 {
	if int(t.n) >= 2*len(t.heads) {
		t.chain(max(2*len(t.heads), fewHeads))
	}
	if int(t.n) == chunkEntries*len(t.chunks) {
		t.chunks = append(t.chunks, new(entries))
	}
	t.n++
	c, k := t.at(t.n)
	head := t.head(hash)
	c.hash[k], c.next[k], *head = hash, *head, t.n
	return t.n
}

// remove takes entry i out, and the last one takes its place.
func (t *table) remove(i uint32) {
	c, k := t.at(i)
	*t.link(i) = c.next[k]
	if i != t.n {
		last, m := t.at(t.n)
		*t.link(t.n) = i
		c.hash[k], c.value[k], c.next[k] = last.hash[m], last.value[m], last.next[m]
	}
	t.n--
}

// link returns what leads to entry i.
func (t *table) link(i uint32) *uint32 {
	c, k := t.at(i)
	at := t.head(c.hash[k])
	for *at != i {
		c, k := t.at(*at)
		at = &c.next[k]
	}
	return at
}

// shrink gives back the memory of entries that were taken out, but for one chunk.
func (t *table) shrink() {
	if keep := (int(t.n)+chunkEntries-1)/chunkEntries + 1; keep < len(t.chunks) {
		clear(t.chunks[keep:])
		t.chunks = t.chunks[:keep]
	}
	heads := len(t.heads)
	for heads > fewHeads && int(t.n) < heads/4 {
		heads /= 2
	}
	if heads < len(t.heads) {
		t.chain(heads)
		t.chunks = slices.Clone(t.chunks)
	}
}

// chain makes so many chains of the entries.
func (t *table) chain(heads int) {
	t.heads = make([]uint32, heads)
	for i := uint32(1); i <= t.n; i++ {
		c, k := t.at(i)
		head := t.head(c.hash[k])
		c.next[k], *head = *head, i
	}
}
