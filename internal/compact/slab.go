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

// Records are allocated slabFirst at first, then as many again as there are, up to slabChunk:
// that many stay unused at most.
const (
	slabFirst = 16
	slabChunk = 1024
)

// slabSmall is how many chunks the first slabChunk records have.
const slabSmall = 7 // 16, 16, 32, 64, 128, 256, 512

// slabPlace returns the chunk of a record, and where it is in that.
func slabPlace(i uint32) (chunk, at uint32) {
	if i >= slabChunk {
		return slabSmall - 1 + i/slabChunk, i % slabChunk
	}
	if chunk = uint32(bits.Len32(i / slabFirst)); chunk == 0 {
		return 0, i
	}
	return chunk, i - slabFirst/2<<chunk
}

// Take returns the number of a zero record, which is not 0.
func (t *Slab[R]) Take() uint32 {
	if n := len(t.free); n > 0 {
		i := t.free[n-1]
		t.free = t.free[:n-1]
		return i
	}
	if t.next++; t.next >= t.room {
		n := min(max(t.room, slabFirst), slabChunk)
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
