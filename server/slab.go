//go:build linux

package server

import (
	"sync/atomic"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
)

// slot is all that an idle connection costs, beside its deadline: 56 bytes
// without a pointer, so that the garbage collector never looks at them. It
// belongs to its loop; only gen is read by others.
type slot struct {
	// gen changes when the slot is freed, so that whoever
	// kept an old Conn or an old event is recognised. Its top bit is set once
	// Conn.Close was called or the connection has departed: nothing more is sent.
	gen atomic.Uint32

	// The socket.
	fd     int32
	frame  frame.State
	state  state
	flags  flags
	why    hold
	quiet  quiet // here for want of room beside its buckets
	pinged uint8 // how long after last a ping left that was not answered, and one (idle.go); 0 for none

	// Time, in ticks of the loop's clock but for told.
	last uint32 // when the peer last gave a sign of life
	told uint32 // when it was last told that it is too loud, in milliseconds, never 0 then

	// The limiter.
	messages limiter.Bucket
	bytes    limiter.Bucket

	// What the loop keeps elsewhere, 0 for nothing.
	ext   uint32 // what few connections need (ext.go)
	place uint32 // route and path values (intern.go)
	ident uint32 // identity (intern.go)
	group uint32 // its one group, or manyGroups (group.go)
}

// flags are small facts about a connection.
type flags uint8

const (
	armedRead  flags = 1 << iota // epoll reports readable
	armedWrite                   // epoll reports writable
	opened                       // Open was called, so Close must be
	overFull                     // accepted beyond max-conns, to be told so
	reserved                     // counts against the lingering reserve, not max-conns
	owesDrain                    // something had to wait or was refused: Route.Drain is to be called
)

// hold says why a connection is held; empty when it is not.
type hold uint8

const (
	byBacklog hold = 1 << iota // the peer does not take what we send
	byDelay                    // the limiter's delay
	byTurn                     // it has had its share of this turn
	byJobs                     // it has many jobs, or ends when they are done
)

// The highest bits of gen are not part of the generation.
//
//	31         30     27  26          0
//	closeAsked  window     generation
const (
	closeAsked  = 1 << 31           // Conn.Close was called, or the connection has departed
	windowShift = 27                // the frame.Window of what is sent
	windowBits  = 15 << windowShift // which a Conn's gen has, too
	genBits     = 1<<windowShift - 1
)

// chunkSlots is how many slots are allocated together: 240 KiB, of which the
// kernel backs only what is touched.
const chunkSlots = 4096

// chunk keeps the deadlines apart from the slots: the sweep reads a million of
// them in about a millisecond.
type chunk struct {
	due   [chunkSlots]uint32 // ticks, 0 for none
	slots [chunkSlots]slot
}

// slab is a growing table of slots that never moves one. Slot 0 is never used, so
// that 0 can mean none.
type slab struct {
	// chunks is replaced as a whole when it grows: other goroutines read it to
	// look at a slot's generation.
	chunks atomic.Pointer[[]*chunk]
	free   []uint32
	next   uint32 // never used so far
	live   int
}

func newSlab() *slab {
	s := &slab{next: 1}
	s.chunks.Store(&[]*chunk{})
	return s
}

// take returns a slot for a new connection.
func (t *slab) take() (uint32, *slot) {
	t.live++
	if n := len(t.free); n > 0 {
		i := t.free[n-1]
		t.free = t.free[:n-1]
		return i, t.at(i)
	}
	i := t.next
	t.next++
	if chunks := *t.chunks.Load(); int(i/chunkSlots) == len(chunks) {
		grown := append(chunks[:len(chunks):len(chunks)], new(chunk))
		t.chunks.Store(&grown)
	}
	return i, t.at(i)
}

// put takes the slot back. All its fields but gen become zero.
func (t *slab) put(i uint32) {
	s := t.at(i)
	gen := (s.gen.Load() + 1) & genBits
	*t.due(i) = 0
	s.fd, s.frame, s.state, s.flags, s.why = 0, frame.State{}, closed, 0, 0
	s.pinged, s.last, s.told, s.quiet, s.messages, s.bytes = 0, 0, 0, 0, 0, 0
	s.ext, s.place, s.ident, s.group = 0, 0, 0, 0
	s.gen.Store(gen)
	t.free = append(t.free, i)
	t.live--
}

// at returns slot i, which must have been taken once. Safe for any goroutine, for
// the sake of gen.
func (t *slab) at(i uint32) *slot {
	return &(*t.chunks.Load())[i/chunkSlots].slots[i%chunkSlots]
}

func (t *slab) due(i uint32) *uint32 {
	return &(*t.chunks.Load())[i/chunkSlots].due[i%chunkSlots]
}

// token is a slot with its generation in one number: what epoll carries.
func token(i, gen uint32) uint64 { return uint64(gen&genBits)<<32 | uint64(i) }

// find returns the slot of tok, or nil if the connection is gone.
func (t *slab) find(tok uint64) (uint32, *slot) {
	i := uint32(tok)
	s := t.at(i)
	if s.state == closed || s.gen.Load()&genBits != uint32(tok>>32) {
		return 0, nil
	}
	return i, s
}
