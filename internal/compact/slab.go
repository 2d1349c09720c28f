package compact

import (
	"math/bits"
	"unsafe"
)

// Slab is a growing table of records that never moves one. R should hold no pointer. The
// zero Slab is empty.
type Slab[R any] struct {
	chunks [][]R
	free   []uint32
	next   uint32 // never used so far, less one
	room   uint32 // in chunks
}

// Records are allocated slabFirst at first, then a quarter of what there is, up to slabChunk: so
// many stay unused at most.
const (
	slabFirst = 16
	slabChunk = 1024
	slabSmall = 1 + 4*8 // chunks of the first 4*slabChunk records
)

// slabPlace returns the chunk of a record, and where it is in that: each power of two, from
// slabFirst to twice that and so on, is divided among four chunks.
func slabPlace(i uint32) (chunk, at uint32) {
	switch {
	case i >= 4*slabChunk:
		return slabSmall - 4 + i/slabChunk, i % slabChunk
	case i < slabFirst:
		return 0, i
	}
	k := uint32(bits.Len32(i)) - 3
	return 4*k + i>>k - 11, i & (1<<k - 1)
}

// Take returns the number of a zero record, which is not 0.
func (t *Slab[R]) Take() uint32 {
	if n := len(t.free); n > 0 {
		i := t.free[n-1]
		t.free = t.free[:n-1]
		return i
	}
	if t.next++; t.next >= t.room {
		n := uint32(slabFirst)
		if t.room > 0 {
			n = min(uint32(1)<<(bits.Len32(t.room)-3), slabChunk)
		}
		t.chunks = append(t.chunks, make([]R, n))
		t.room += n
	}
	return t.next
}

// At returns the record of a number that Take has returned. The pointer is valid until Put.
func (t *Slab[R]) At(i uint32) *R {
	chunk, at := slabPlace(i)
	return &t.chunks[chunk][at]
}

// Put takes a record back. With the last one all memory goes.
func (t *Slab[R]) Put(i uint32) {
	var zero R
	*t.At(i) = zero
	if t.free = append(t.free, i); len(t.free) == int(t.next) {
		*t = Slab[R]{}
	}
}

// Len returns how many records are taken.
func (t *Slab[R]) Len() int { return int(t.next) - len(t.free) }

// Size returns the bytes that the table takes.
func (t *Slab[R]) Size() int {
	var r R
	return int(t.room)*int(unsafe.Sizeof(r)) + int(unsafe.Sizeof([]R{}))*cap(t.chunks) + 4*cap(t.free)
}
