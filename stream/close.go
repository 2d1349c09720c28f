//go:build linux

package stream

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

// This file is the one exit: nothing else closes a socket that the loop has.

// Causes of an end that are the stream's own.
var (
	ErrHangup       = errors.New("stream: the peer hung up")
	ErrWriteTimeout = errors.New("stream: the peer took nothing for too long")
	ErrEvicted      = errors.New("stream: was silent, or lingered, while others needed the room")
	ErrShed         = errors.New("stream: held most of the memory when it ran out")
)

// release closes the socket, after its owner has heard of the end, and frees all there is
// of the stream but what the owner keeps: then it goes on counting.
func (l *Loop[T, X]) release(i uint32, s *slot[T], cause error) {
	if s.state == Free || s.state == Gone {
		return
	}
	l.sayEnd(i, s)
	l.unlist(i, s)
	if fault := l.exts.get(s.ext).sealed.fault(); fault != nil {
		cause = fault
	}
	s.state, s.why = Gone, 0
	*l.slab.due(i) = 0
	keep := false
	defer func() {
		l.shut(s)
		l.secure.remove(i)
		l.dropSealed(s)
		l.dropOutbox(i, s)
		if !keep {
			l.free(i, s)
		}
	}()
	keep = l.handler.Ended(l.of(i, s), cause)
}

// free frees the slot of a stream whose socket is closed.
func (l *Loop[T, X]) free(i uint32, s *slot[T]) {
	if s.flags&uncounted == 0 {
		l.engine.discount(s.flags&reserved != 0)
	}
	l.vacate(i, s)
}

// shut closes the socket.
func (l *Loop[T, X]) shut(s *slot[T]) {
	_ = l.poll.Remove(int(s.fd)) // fails only if Add did
	unix.Close(int(s.fd))
	s.fd = -1
}

// dropOutbox gives back what the peer will not take any more.
func (l *Loop[T, X]) dropOutbox(i uint32, s *slot[T]) {
	if s.ext == 0 {
		return
	}
	x := l.exts.get(s.ext)
	l.drop(&x.outbox)
	l.Buffers.Put(x.sealed.out)
	x.sealed.out = nil
	x.stalled, x.due, x.passes = 0, 0, false
	l.exts.rank(s.ext)
	l.trim(s)
}

// vacate frees the slot. The descriptor is closed or somebody else's.
func (l *Loop[T, X]) vacate(i uint32, s *slot[T]) {
	if s.ext != 0 {
		l.dropSealed(s)
		l.drop(&l.exts.get(s.ext).outbox)
		l.exts.put(s.ext)
	}
	l.secure.remove(i)
	l.conns.Add(-1)
	if s.flags&uncounted != 0 {
		l.dialled--
	}
	l.peers.set(i, netip.AddrPort{})
	l.slab.put(i)
}

// need returns the extension of s, to be written.
func (l *Loop[T, X]) need(i uint32, s *slot[T]) *ext[X] {
	if s.ext == 0 {
		s.ext = l.exts.take(i)
	}
	return l.exts.all[s.ext]
}

// trim drops the extension of s if nothing is in it.
func (l *Loop[T, X]) trim(s *slot[T]) {
	if s.ext != 0 && l.exts.isZero(l.exts.all[s.ext]) {
		l.exts.put(s.ext)
		s.ext = 0
	}
}
