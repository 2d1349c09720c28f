package compact

import "unsafe"

// Slab is a growing table of records that never moves one. R should hold no pointer. The
// zero Slab is empty.
type Slab[R any] struct {
	chunks []*[slabChunk]R
	free   []uint32
	next   uint32 // never used so far, less one
}

// slabChunk is how many records are allocated together: that many stay unused at most.
const slabChunk = 256

// Take returns the number of a zero record, which is not 0.
func (t *Slab[R]) Take() uint32 {
	if n := len(t.free); n > 0 {
		i := t.free[n-1]
		t.free = t.free[:n-1]
		return i
	}
	t.next++
	if int(t.next/slabChunk) >= len(t.chunks) {
		t.chunks = append(t.chunks, new([slabChunk]R))
	}
	return t.next
}

// At returns the record of a number that Take has returned. The pointer is valid until Put.
func (t *Slab[R]) At(i uint32) *R { return &t.chunks[i/slabChunk][i%slabChunk] }

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
	var r [slabChunk]R
	return len(t.chunks)*int(unsafe.Sizeof(r)) + 8*cap(t.chunks) + 4*cap(t.free)
}
