//go:build linux

package stream

import "sync/atomic"

// slot is all that an idle stream costs, beside its deadline: 16 bytes and what its
// owner keeps, without a pointer, so that the garbage collector never looks at them. It
// belongs to its loop; only gen is read by others.
type slot[T any] struct {
	// gen changes when the slot is freed, so that an old event or a copy of an old S is
	// recognised; it is 0 before the first use. Its highest bits are the owner's (Marks).
	gen      atomic.Uint32
	fd       int32 // -1 once it is closed
	state    State
	flags    flags
	why      Hold
	listener uint8  // its number by which it was accepted, and one; 0: none
	ext      uint32 // what few streams need (ext.go); 0 for nothing
	data     T
}

// flags are small facts about a stream.
type flags uint8

const (
	armedRead    flags = 1 << iota // epoll reports readable
	armedWrite                     // epoll reports writable
	excess                         // accepted beyond MaxConns, to be told so
	reserved                       // counts against the reserve, not MaxConns
	uncounted                      // dialled: counts against neither
	deaf                           // the peer has reset what we sent, and may have said something before
	hungUp                         // both directions have ended, or the socket has an error
	awaitsHeader                   // its proxy has yet to say where it comes from
)

// Hold says why a stream is held, bit by bit; zero when it is not.
type Hold uint8

const (
	Backlog Hold = 1 << iota // the peer does not take what was written
	Turn                     // it has had its share; see S.Yield
	Custom                   // this bit and those above it are the owner's
)

// The bits of gen.
const (
	// Marks are the bits of a generation that are the owner's. They are zero when a
	// stream begins.
	Marks = ^uint32(genBits)

	// MarkShift is by how many bits a number that is kept in them is shifted.
	MarkShift = 27

	genBits = 1<<MarkShift - 1
)

// chunkSlots is how many slots are allocated together, of which the kernel backs only
// what is touched.
const chunkSlots = 4096

// chunk keeps the deadlines apart from the slots: the sweep reads a million of
// them in about a millisecond.
type chunk[T any] struct {
	due   [chunkSlots]uint32 // ticks, 0 for none
	slots [chunkSlots]slot[T]
}

// slab is a growing table of slots that never moves one. Slot 0 is never used, so
// that 0 can mean none.
type slab[T any] struct {
	// chunks is replaced as a whole when it grows: other goroutines read it to
	// look at a slot's generation.
	chunks atomic.Pointer[[]*chunk[T]]
	free   []uint32 // from first on, those that have rested longest in front
	first  int
	rest   int    // how many are left to rest
	next   uint32 // never used so far
}

// restSlots is how many free slots are left to rest: 60 KiB, that the processor's caches still
// hold. A slot's generation comes round after so many times 2^27 streams of the loop, which at
// 20,000 a second is 79 days; without a rest it would be two hours.
const restSlots = 1024

func (t *slab[T]) init() {
	t.next, t.rest = 1, restSlots
	t.chunks.Store(&[]*chunk[T]{})
}

// take returns a slot for a new stream.
func (t *slab[T]) take() (uint32, *slot[T]) {
	i := t.upcoming()
	if i != t.next {
		t.first++
		return i, t.at(i)
	}
	t.next++
	if chunks := *t.chunks.Load(); int(i/chunkSlots) == len(chunks) {
		grown := append(chunks[:len(chunks):len(chunks)], new(chunk[T]))
		t.chunks.Store(&grown)
	}
	s := t.at(i)
	s.gen.Store(1)
	return i, s
}

// upcoming is the slot that take returns next.
func (t *slab[T]) upcoming() uint32 {
	if t.resting() > t.rest {
		return t.free[t.first]
	}
	return t.next
}

// resting is how many slots are free that were used before.
func (t *slab[T]) resting() int { return len(t.free) - t.first }

// put takes the slot back. All its fields but gen and fd become zero.
func (t *slab[T]) put(i uint32) {
	s := t.at(i)
	gen := max((s.gen.Load()+1)&genBits, 1)
	*t.due(i) = 0
	s.fd, s.state, s.flags, s.why, s.listener, s.ext = -1, Free, 0, 0, 0, 0
	var none T
	s.data = none
	s.gen.Store(gen)
	if t.first > restSlots && t.first > len(t.free)/2 {
		t.free, t.first = t.free[:copy(t.free, t.free[t.first:])], 0
	}
	t.free = append(t.free, i)
}

// at returns slot i, which must have been taken once. Safe for any goroutine, for
// the sake of gen.
func (t *slab[T]) at(i uint32) *slot[T] {
	return &(*t.chunks.Load())[i/chunkSlots].slots[i%chunkSlots]
}

func (t *slab[T]) due(i uint32) *uint32 {
	return &(*t.chunks.Load())[i/chunkSlots].due[i%chunkSlots]
}

// token is a slot with its generation in one number: what epoll carries.
func token(i, gen uint32) uint64 { return uint64(gen&genBits)<<32 | uint64(i) }

// find returns the slot of tok, or nil if the stream has ended.
func (t *slab[T]) find(tok uint64) (uint32, *slot[T]) {
	i := uint32(tok)
	s := t.at(i)
	if s.state == Free || s.state == Gone || s.gen.Load()&genBits != uint32(tok>>32) {
		return 0, nil
	}
	return i, s
}
