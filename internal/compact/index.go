package compact

// Index finds records by a hash of theirs: in chains, whose links are in the records. It
// takes 2 to 4 bytes for each, beside the link. The zero Index is empty.
type Index struct {
	heads []uint32 // their number is a power of two
	n     int
}

// Chained is what the records of an Index are asked: for the hash, which does not change,
// and for the link, which is the Index's to set.
type Chained interface {
	Hash(i uint32) uint64
	Link(i uint32) *uint32
}

// minHeads is how many chains there are at least.
const minHeads = 8

// First returns the first record of the chain in which those of a hash are, 0 if there is
// none. The next is at its link.
func (x *Index) First(hash uint64) uint32 {
	if len(x.heads) == 0 {
		return 0
	}
	return x.heads[x.chain(hash)]
}

func (x *Index) chain(hash uint64) uint64 { return hash & uint64(len(x.heads)-1) }

// Add puts a record in, which is in no chain.
func (x *Index) Add(all Chained, i uint32) {
	if x.n >= 2*len(x.heads) {
		x.resize(all, max(minHeads, 2*len(x.heads)))
	}
	x.link(all, i)
	x.n++
}

func (x *Index) link(all Chained, i uint32) {
	head := &x.heads[x.chain(all.Hash(i))]
	*all.Link(i), *head = *head, i
}

// Remove takes a record out that was added. With the last one all memory goes.
func (x *Index) Remove(all Chained, i uint32) {
	at := &x.heads[x.chain(all.Hash(i))]
	for *at != i {
		at = all.Link(*at)
	}
	*at, *all.Link(i) = *all.Link(i), 0
	switch x.n--; {
	case x.n == 0:
		x.heads = nil
	case len(x.heads) > minHeads && x.n < len(x.heads)/4:
		x.resize(all, len(x.heads)/2)
	}
}

// resize makes so many chains of those that there are.
func (x *Index) resize(all Chained, n int) {
	old := x.heads
	x.heads = make([]uint32, n)
	for _, i := range old {
		for i != 0 {
			next := *all.Link(i)
			x.link(all, i)
			i = next
		}
	}
}

// Len returns how many records are in.
func (x *Index) Len() int { return x.n }

// Size returns the bytes that the Index takes.
func (x *Index) Size() int { return 4 * cap(x.heads) }
