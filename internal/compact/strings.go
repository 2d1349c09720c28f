package compact

import (
	"encoding/binary"
	"unsafe"
)

// Strings is a growing table of strings, each with a record beside it. A string takes its
// bytes and 9 or 10 more, and its record; what was deleted takes about a quarter of the room
// at most. R should hold no pointer. All strings take 4 GiB at most. The zero Strings is empty.
type Strings[R any] struct {
	all    Slab[entry[R]]
	chunks []chunk
	unused []uint32 // numbers of chunks without memory
	last   uint32   // the chunk that is filled; 0: none
	size   int      // of the chunks' memory
}

// entry is where a string is, and its record.
type entry[R any] struct {
	place place
	r     R
}

// place is the number of a chunk, the first being 1, and under it where in the chunk.
type place uint32

const (
	placeShift  = 14
	stringChunk = 1 << placeShift // the most memory of a chunk, unless a string is longer
	maxChunks   = 1<<(32-placeShift) - 1
)

func placeOf(chunk uint32, at int) place { return place(chunk<<placeShift | uint32(at)) }

func (p place) chunk() uint32 { return uint32(p >> placeShift) }
func (p place) at() int       { return int(p & (stringChunk - 1)) }

// chunk is strings one behind the other, each behind its number and its length.
type chunk struct {
	b    []byte
	dead int // bytes of what was deleted
}

// minStringChunk is the least memory of a chunk; it is about a quarter of what there is, up to
// stringChunk.
const minStringChunk = 512

// Add puts a string in, and returns its number, which is not 0. It copies b.
func (t *Strings[R]) Add(b []byte) uint32 {
	i, before := t.all.Take(), t.last
	t.place(i, b)
	if before != 0 && before != t.last {
		t.tidy(before)
	}
	return i
}

// Set puts another string in the place of one, whose record stays. It copies b.
func (t *Strings[R]) Set(i uint32, b []byte) {
	old, before := t.all.At(i).place, t.last
	t.place(i, b)
	t.bury(old)
	if before != t.last {
		t.tidy(before)
	}
}

// place puts a string behind the others.
func (t *Strings[R]) place(i uint32, b []byte) {
	n := idSize + uvarintLen(len(b)) + len(b)
	if t.last == 0 || cap(t.chunks[t.last-1].b)-len(t.chunks[t.last-1].b) < n {
		t.last = t.newChunk(max(n, min(max(t.size/4, minStringChunk), stringChunk)))
	}
	c := &t.chunks[t.last-1]
	t.all.At(i).place = placeOf(t.last, len(c.b))
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
	if len(t.chunks) == maxChunks {
		panic("compact: the strings of a table take more than 4 GiB")
	}
	t.chunks = append(t.chunks, chunk{b: make([]byte, 0, size)})
	return uint32(len(t.chunks))
}

// Bytes returns the string of a number that Add has returned, not to be changed. It stays as
// it is, also when the string is deleted.
func (t *Strings[R]) Bytes(i uint32) []byte {
	p := t.all.At(i).place
	b, _ := next(t.chunks[p.chunk()-1].b[p.at():])
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
	p := t.all.At(i).place
	t.all.Put(i)
	if t.all.Len() == 0 {
		*t = Strings[R]{}
		return
	}
	t.bury(p)
}

// bury counts a string as deleted where it is.
func (t *Strings[R]) bury(p place) {
	c := &t.chunks[p.chunk()-1]
	_, n := next(c.b[p.at():])
	c.dead += n
	t.tidy(p.chunk())
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
		if t.all.At(i).place == placeOf(k, at) { // else it is another of its number, or deleted
			t.place(i, text)
		}
		at += n
	}
	t.unused = append(t.unused, k)
}

// Len returns how many strings there are.
func (t *Strings[R]) Len() int { return t.all.Len() }

// Size returns the bytes that the table takes.
func (t *Strings[R]) Size() int {
	return t.size + t.all.Size() + int(unsafe.Sizeof(chunk{}))*cap(t.chunks) + 4*cap(t.unused)
}
