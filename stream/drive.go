//go:build linux

package stream

import "github.com/usher-ws/usher/poller"

// Drive is a loop in the hands of a test, which hands it one event at a time: it must not
// have been started.
type Drive[T, X any] struct{ loop *Loop[T, X] }

// Drive makes the calling goroutine the loop's.
func (l *Loop[T, X]) Drive() Drive[T, X] {
	l.self.Store(self())
	return Drive[T, X]{l}
}

// Adopt begins the life of a stream as if it had been accepted.
func (d Drive[T, X]) Adopt(fd int) S[T, X] {
	d.loop.engine.live.Add(1)
	d.loop.conns.Add(1)
	i := d.loop.slab.next
	if n := len(d.loop.slab.free); n > 0 {
		i = d.loop.slab.free[n-1]
	}
	d.loop.adopt(adoption{fd: fd})
	return d.loop.At(i)
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

// Advance has the clock of the deadlines go forward by n ticks.
func (d Drive[T, X]) Advance(n uint32) { d.loop.tick += n }

// Armed says for what epoll was asked.
func (d Drive[T, X]) Armed(s S[T, X]) (read, write bool) {
	return s.slot.flags&armedRead != 0, s.slot.flags&armedWrite != 0
}
