package compact

import (
	"encoding/binary"
	"unsafe"
)

// Strings is a growing table of strings, each with a record beside it. A string takes its
// bytes and 13 or 14 more, and its record; what was deleted takes about a quarter of the room
// at most. R should hold no pointer. The zero Strings is empty.
type Strings[R any] struct {
	all    Slab[entry[R]]
	chunks []chunk
	unused []uint32 // numbers of chunks without memory
	last   uint32   // the chunk that is filled; 0: none
	size   int      // of the chunks' memory
}

// entry is where a string is.
type entry[R any] struct {
	chunk, at uint32 // chunk is its number in chunks, and one
	r         R
}

// chunk is strings one behind the other, each behind its number and its length.
type chunk struct {
	b    []byte
	dead int // bytes of what was deleted
}

// The memory of a chunk, unless a string is longer, is a quarter of what there is, between
// these bounds.
const (
	minStringChunk = 512
	maxStringChunk = 64 << 10
)

// Add puts a string in, and returns its number, which is not 0. It copies b.
func (t *Strings[R]) Add(b []byte) uint32 {
	i, before := t.all.Take(), t.last
	t.place(i, b)
	if before != 0 && before != t.last {
		t.tidy(before)
	}
	return i
}

// place puts a string behind the others.
func (t *Strings[R]) place(i uint32, b []byte) {
	n := idSize + uvarintLen(len(b)) + len(b)
	if t.last == 0 || cap(t.chunks[t.last-1].b)-len(t.chunks[t.last-1].b) < n {
		t.last = t.newChunk(max(n, min(max(t.size/4, minStringChunk), maxStringChunk)))
	}
	c := &t.chunks[t.last-1]
	e := t.all.At(i)
	e.chunk, e.at = t.last, uint32(len(c.b))
	c.b = binary.LittleEndian.AppendUint32(c.b, i)
	c.b = binary.AppendUvarint(c.b, uint64(len(b)))
	c.b = append(c.b, b...)
}

const idSize = 4

func uvarintLen(n int) int {
	var b [binary.MaxVarintLen64]byte
	return binary.PutUvarint(b[:], uint64(n))
}

func (t *Strings[R]) newChunk(size int) uint32 {
	t.size += size
	if n := len(t.unused); n > 0 {
		i := t.unused[n-1]
		t.unused = t.unused[:n-1]
		t.chunks[i-1] = chunk{b: make([]byte, 0, size)}
		return i
	}
	t.chunks = append(t.chunks, chunk{b: make([]byte, 0, size)})
	return uint32(len(t.chunks))
}

// Bytes returns the string of a number that Add has returned, not to be changed. It stays as
// it is, also when the string is deleted.
func (t *Strings[R]) Bytes(i uint32) []byte {
	e := t.all.At(i)
	b, _ := next(t.chunks[e.chunk-1].b[e.at:])
	return b
}

// Text is Bytes as a string. It keeps the memory of many others alive: clone what is kept.
func (t *Strings[R]) Text(i uint32) string {
	b := t.Bytes(i)
	return unsafe.String(unsafe.SliceData(b), len(b)) // which do not change
}

// next returns the string that b begins with, and how many bytes it takes in all.
func next(b []byte) (text []byte, n int) {
	size, k := binary.Uvarint(b[idSize:])
	n = idSize + k + int(size)
	return b[idSize+k : n : n], n
}

// At returns the record of a string, which is zero at first. The pointer is valid until the
// string is deleted.
func (t *Strings[R]) At(i uint32) *R { return &t.all.At(i).r }

// Delete takes a string out. With the last one all memory goes.
func (t *Strings[R]) Delete(i uint32) {
	e := *t.all.At(i)
	t.all.Put(i)
	if t.all.Len() == 0 {
		*t = Strings[R]{}
		return
	}
	c := &t.chunks[e.chunk-1]
	_, n := next(c.b[e.at:])
	c.dead += n
	t.tidy(e.chunk)
}

// tidy moves what is left in a chunk elsewhere if too much of it was deleted.
func (t *Strings[R]) tidy(k uint32) {
	b := t.chunks[k-1].b
	if k == t.last || t.chunks[k-1].dead <= cap(b)/4 {
		return
	}
	t.size -= cap(b)
	t.chunks[k-1] = chunk{}
	for at := 0; at < len(b); {
		i := binary.LittleEndian.Uint32(b[at:])
		text, n := next(b[at:])
		if t.isAt(i, k, uint32(at)) {
			t.place(i, text)
		}
		at += n
	}
	t.unused = append(t.unused, k)
}

// isAt reports whether string i is at a place: there may be another of its number, deleted
// or not.
func (t *Strings[R]) isAt(i, chunk, at uint32) bool {
	e := t.all.At(i)
	return e.chunk == chunk && e.at == at
}

// Len returns how many strings there are.
func (t *Strings[R]) Len() int { return t.all.Len() }

// Size returns the bytes that the table takes.
func (t *Strings[R]) Size() int {
	return t.size + t.all.Size() + int(unsafe.Sizeof(chunk{}))*cap(t.chunks) + 4*cap(t.unused)
}
