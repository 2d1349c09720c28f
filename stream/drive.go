//go:build linux

package stream

import (
	"net/netip"
	"time"
	"unsafe"

	"github.com/usher-ws/usher/poller"
	"github.com/usher-ws/usher/record"
)

// Drive lets a test run a loop, one event at a time. The loop must not have been started,
// unless the caller runs on it.
type Drive[T, X any] struct{ loop *Loop[T, X] }

// Drive makes the calling goroutine the loop's. Slots are used again at once.
func (l *Loop[T, X]) Drive() Drive[T, X] {
	l.self.Store(self())
	l.slab.rest = 0
	return Drive[T, X]{l}
}

// Adopt begins the life of a stream as if it had been accepted.
func (d Drive[T, X]) Adopt(fd int) S[T, X] {
	d.loop.engine.live.Add(1)
	d.loop.conns.Add(1)
	i := d.loop.slab.upcoming()
	d.loop.adopt(adoption{fd: fd})
	return d.loop.At(i)
}

// Secure goes on with a stream as behind a handshake. near is cleared.
func (d Drive[T, X]) Secure(s S[T, X], near *record.Conn) {
	d.loop.secure.add(s.i, near)
	near.Clear()
}

// Readable, Writable, Hangup and Due are what epoll and the clock can tell of a stream.
func (d Drive[T, X]) Readable(s S[T, X]) { events[T, X]{d.loop}.handle(s.i, s.slot, readable) }

// Writable is an event.
func (d Drive[T, X]) Writable(s S[T, X]) { events[T, X]{d.loop}.handle(s.i, s.slot, writable) }

// Hangup is an event.
func (d Drive[T, X]) Hangup(s S[T, X]) { events[T, X]{d.loop}.handle(s.i, s.slot, hangup) }

// Due is an event.
func (d Drive[T, X]) Due(s S[T, X]) { events[T, X]{d.loop}.handle(s.i, s.slot, due) }

// Ready is an event with all that follows from it, as the poller tells of it.
func (d Drive[T, X]) Ready(s S[T, X], ev poller.Event) { events[T, X]{d.loop}.Ready(s.Token(), ev) }

// Wake is what follows Loop.Wake, Timer what comes when its time has come, and After ends a
// pass.
func (d Drive[T, X]) Wake() { events[T, X]{d.loop}.Wake() }

// Timer is an event.
func (d Drive[T, X]) Timer() { events[T, X]{d.loop}.Timer() }

// After is an event.
func (d Drive[T, X]) After() { events[T, X]{d.loop}.After() }

// Advance moves the clock of the deadlines forward by n ticks.
func (d Drive[T, X]) Advance(n uint32) { d.loop.tick += n }

// Armed says for what epoll was asked.
func (d Drive[T, X]) Armed(s S[T, X]) (read, write bool) {
	return s.slot.flags&armedRead != 0, s.slot.flags&armedWrite != 0
}

// NextDue is the tick in which the stream is looked at next, by its owner's deadline or for
// what waits; 0 for none.
func (d Drive[T, X]) NextDue(s S[T, X]) uint32 { return *d.loop.slab.due(s.i) }

// Sweep is a turn of a look at the deadlines, and reports whether there is another.
func (d Drive[T, X]) Sweep() (more bool) {
	l := events[T, X]{d.loop}
	l.sweeping = max(l.sweeping, 1)
	l.sweep()
	return l.sweeping != 0
}

// Late makes a look at the deadlines come late, with all its turns.
func (d Drive[T, X]) Late(by time.Duration) {
	d.loop.sweepAt = max(d.loop.tick, 1)
	d.loop.advance(time.Duration(d.loop.tick+Ticks(by)) << tickBits)
	events[T, X]{d.loop}.lookAround(by)
	for d.loop.sweeping != 0 {
		d.Sweep()
	}
}

// Budget sets how many bytes the loop may have lent after a pass.
func (d Drive[T, X]) Budget(n int) { d.loop.Buffers.budget = n }

// Ripe is how many streams go on with the next Wake, having had their turn.
func (d Drive[T, X]) Ripe() int { return d.loop.turns.ripe }

// Tell replaces what the kernel says about the bytes sent.
func (d Drive[T, X]) Tell(told func(fd int) poller.Outgoing) { d.loop.engine.cfg.Progress = told }

// Place is what the acceptor does with a socket it has accepted, of a peer.
func (d Drive[T, X]) Place(fd int, peer netip.Addr) {
	d.loop.engine.acceptor.assign(adoption{fd: fd, peer: peer})
}

// ForgetSelf makes the loop not know its goroutine, as on a processor without a self.
func (d Drive[T, X]) ForgetSelf() { d.loop.self.Store(0) }

// Seat takes a slot for a stream whose socket is made up: for what a table costs. It ends
// with Unseat, if at all.
func (d Drive[T, X]) Seat() S[T, X] {
	i, s := d.loop.slab.take()
	s.fd, s.state, s.flags = 1<<30, Flowing, armedRead
	*d.loop.slab.due(i) = 100
	return d.loop.of(i, s)
}

// Unseat frees the slot.
func (d Drive[T, X]) Unseat(s S[T, X]) { d.loop.slab.put(s.i) }

// Sizes are those of a slot, and of all that is kept for each slot.
func (d Drive[T, X]) Sizes() (slotSize, each uintptr) {
	return unsafe.Sizeof(slot[T]{}), unsafe.Sizeof(chunk[T]{}) / chunkSlots
}
