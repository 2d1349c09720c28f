package compact

import (
	"iter"
	"math/bits"
	"slices"
)

// Index finds records by a hash of theirs: in chains, whose links are in the records. It
// takes about 2 bytes for each, beside the link. It grows and shrinks by one chain at a time,
// so that no call takes long. The zero Index is empty.
type Index struct {
	heads []uint32
	n     int
}

// Chained is what the records of an Index are asked: for the hash, which does not change,
// and for the link, which is the Index's to set.
type Chained interface {
	Hash(i uint32) uint64
	Link(i uint32) *uint32
}

const (
	minHeads = 8 // how many chains there are at least
	perChain = 2 // records in a chain, on average
)

// First returns the first record of the chain in which those of a hash are, 0 if there is
// none. The next is at its link.
func (x *Index) First(hash uint64) uint32 {
	if len(x.heads) == 0 {
		return 0
	}
	return x.heads[x.chain(hash)]
}

// chain returns where a hash belongs: by as many of its bits as there are chains for, by one
// less where there are none yet.
func (x *Index) chain(hash uint64) uint64 {
	mask := uint64(1)<<bits.Len(uint(len(x.heads)-1)) - 1
	if c := hash & mask; c < uint64(len(x.heads)) {
		return c
	}
	return hash & (mask >> 1)
}

// Add puts a record in, which is in no chain.
func (x *Index) Add(all Chained, i uint32) {
	if len(x.heads) == 0 {
		x.heads = make([]uint32, minHeads)
	}
	x.link(all, i)
	if x.n++; x.n > perChain*len(x.heads) {
		x.heads = append(x.heads, 0)
		chain := len(x.heads) - 1 - 1<<(bits.Len(uint(len(x.heads)-1))-1) // some belong in the new one now
		i := x.heads[chain]
		x.heads[chain] = 0
		x.linkAll(all, i)
	}
}

func (x *Index) link(all Chained, i uint32) {
	head := &x.heads[x.chain(all.Hash(i))]
	*all.Link(i), *head = *head, i
}

// linkAll puts the records of a chain that begins with i where they belong now.
func (x *Index) linkAll(all Chained, i uint32) {
	for i != 0 {
		next := *all.Link(i)
		x.link(all, i)
		i = next
	}
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
	case len(x.heads) > minHeads && x.n < perChain*len(x.heads)/2:
		x.shrink(all)
	}
}

// shrink does without the last chain.
func (x *Index) shrink(all Chained) {
	last := len(x.heads) - 1
	i := x.heads[last]
	if x.heads = x.heads[:last]; cap(x.heads) > 4*last {
		x.heads = slices.Clone(x.heads)
	}
	x.linkAll(all, i)
}

// All yields all records, in the order of their chains from a number on that may be any. The
// Index must not change meanwhile.
func (x *Index) All(all Chained, from uint32) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for k := range x.heads {
			for i := x.heads[(int(from)+k)%len(x.heads)]; i != 0; i = *all.Link(i) {
				if !yield(i) {
					return
				}
			}
		}
	}
}

// Len returns how many records are in.
func (x *Index) Len() int { return x.n }

// Size returns the bytes that the Index takes.
func (x *Index) Size() int { return 4 * cap(x.heads) }
