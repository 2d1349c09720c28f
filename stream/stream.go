//go:build linux

package stream

import (
	"errors"
	"iter"
	"net/netip"
	"time"

	"github.com/usher-ws/usher/internal/timer"
	"github.com/usher-ws/usher/poller"
	"golang.org/x/sys/unix"
)

// Find returns the stream of a token, and false if it has ended, or if the token is zero or
// of a slot that this loop does not have.
func (l *Loop[T, X]) Find(token uint64) (S[T, X], bool) {
	if i := uint32(token); i == 0 || i >= l.slab.next {
		return S[T, X]{}, false
	}
	i, s := l.slab.find(token)
	if s == nil {
		return S[T, X]{}, false
	}
	return l.of(i, s), true
}

// At returns the stream in a slot, which must have been one's: it may have ended, or be
// another by now.
func (l *Loop[T, X]) At(i uint32) S[T, X] { return l.of(i, l.slab.at(i)) }

// Generation returns the generation of slot i with its Marks. Safe for any goroutine.
func (l *Loop[T, X]) Generation(i uint32) uint32 { return l.slab.at(i).gen.Load() }

// HasBeen reports whether slot i has ever been a stream's. Safe for any goroutine.
func (l *Loop[T, X]) HasBeen(i uint32) bool {
	return int(i/chunkSlots) < len(*l.slab.chunks.Load()) && l.slab.at(i).gen.Load() != 0
}

// Mark sets bits among the Marks of slot i if its generation, with all marks, is gen, and
// reports whether it did. Safe for any goroutine.
func (l *Loop[T, X]) Mark(i, gen, marks uint32) bool {
	return l.slab.at(i).gen.CompareAndSwap(gen, gen|marks&Marks)
}

// Slots is the number of the first slot that was never used: all streams are in those
// from 1 up to it.
func (l *Loop[T, X]) Slots() uint32 { return l.slab.next }

// All yields the streams there are, those that are Gone included. Streams may end
// meanwhile.
func (l *Loop[T, X]) All() iter.Seq[S[T, X]] {
	return func(yield func(S[T, X]) bool) {
		for i := uint32(1); i < l.slab.next; i++ {
			if s := l.slab.at(i); s.state != Free && !yield(l.of(i, s)) {
				return
			}
		}
	}
}

// LateTicks is how many looks at the deadlines came late.
func (l *Loop[T, X]) LateTicks() int64 { return l.late }

// IsZero reports whether s is no stream.
func (s S[T, X]) IsZero() bool { return s.i == 0 }

// Slot is the number of the stream's slot on its loop, from 1. Others may have it later.
func (s S[T, X]) Slot() uint32 { return s.i }

// Token is the stream's alone, for the life of its loop.
func (s S[T, X]) Token() uint64 { return token(s.i, s.slot.gen.Load()) }

// Token returns the token of a slot and a generation.
func Token(slot, gen uint32) uint64 { return token(slot, gen) }

// Generation returns the generation with its Marks.
func (s S[T, X]) Generation() uint32 { return s.slot.gen.Load() }

// Mark sets bits among the Marks, and returns the generation and marks before.
func (s S[T, X]) Mark(marks uint32) (before uint32) { return s.slot.gen.Or(marks & Marks) }

// State returns where the stream is in its life.
func (s S[T, X]) State() State { return s.slot.state }

// Data returns what the owner keeps with the stream. It is zero when the stream begins.
func (s S[T, X]) Data() *T { return &s.slot.data }

// Extra returns what the owner keeps with few streams, to be read; it is zero for the
// others.
func (s S[T, X]) Extra() *X { return &s.loop.exts.get(s.slot.ext).owner }

// NeedExtra is Extra, to be written. TrimExtra is to follow when all of it may be zero
// again.
func (s S[T, X]) NeedExtra() *X { return &s.loop.need(s.i, s.slot).owner }

// HasExtra reports whether there is an Extra, zero or not.
func (s S[T, X]) HasExtra() bool { return s.slot.ext != 0 }

// TrimExtra drops an Extra that is zero.
func (s S[T, X]) TrimExtra() { s.loop.trim(s.slot) }

// Excess reports whether the stream was accepted without a place, to be told so: beyond
// MaxConns, or because Config.Admit has refused it. Claim may find it one.
func (s S[T, X]) Excess() bool { return s.slot.flags&excess != 0 }

// HungUp reports whether the kernel has told that both directions have ended, or that the
// socket has an error: nobody takes what is said now, though Input may still bring what the
// peer said before.
func (s S[T, X]) HungUp() bool { return s.slot.flags&hungUp != 0 }

// Listener is the number of the listening socket that accepted it; -1 if it was dialled or
// inherited.
func (s S[T, X]) Listener() int { return int(s.slot.listener) - 1 }

// LocalAddr asks the kernel for the address that the peer has connected to. It is zero when
// that is not known any more, or is not of IP.
func (s S[T, X]) LocalAddr() netip.AddrPort {
	if s.slot.fd < 0 {
		return netip.AddrPort{}
	}
	addr, _ := poller.Local(int(s.slot.fd))
	return addr
}

// IsSecure reports whether the stream's handshake of TLS is done.
func (s S[T, X]) IsSecure() bool { return s.loop.secure.conn(s.i) != nil }

// Fault is what was wrong when the peer's side of a secure stream ended; nil if it was not, or
// has not ended.
func (s S[T, X]) Fault() error { return s.loop.exts.get(s.slot.ext).sealed.fault() }

// Progress asks the kernel what has become of the bytes sent, for half a microsecond.
func (s S[T, X]) Progress() poller.Outgoing { return s.loop.progress(s.slot) }

// Write sends b, or what the kernel does not take of it when it does: then the stream is
// Held until all has left and Resume is called. b is not kept. What is written to a
// stream that is Dialing, or is ending or has ended, is lost.
func (s S[T, X]) Write(b []byte) {
	if st := s.slot.state; st == Flowing || st == Held {
		s.loop.transmit(s.i, s.slot, b, nil)
	}
}

// WriteParts is Write, but what the kernel does not take of the parts is not copied. They
// are in the order in which they are in b, and do not overlap. The slice is not kept.
func (s S[T, X]) WriteParts(b []byte, parts []Part) {
	if st := s.slot.state; st == Flowing || st == Held {
		s.loop.transmit(s.i, s.slot, b, parts)
	}
}

// Waiting returns how many bytes wait for the peer to take them.
func (s S[T, X]) Waiting() int {
	if s.slot.ext == 0 {
		return 0
	}
	return s.loop.exts.get(s.slot.ext).outbox.waiting
}

// Finish ends the stream when b, and what waits, has left: FIN, then lingering until the
// peer has ended its side, too. Input is not called any more; Ended comes when the socket
// is closed.
func (s S[T, X]) Finish(b []byte) { s.loop.finish(s.i, s.slot, b) }

// Cut closes the socket now. What waits is lost; Ended is called before Cut returns.
func (s S[T, X]) Cut(cause error) { s.loop.release(s.i, s.slot, cause) }

// Reset is Cut, but the peer is told RST, as by a machine that was switched off and on.
func (s S[T, X]) Reset(cause error) {
	if s.slot.fd >= 0 {
		_ = unix.SetsockoptLinger(int(s.slot.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	s.Cut(cause)
}

// Free gives up the slot of a stream that is Gone. It panics in Ended, which returns false
// for that.
func (s S[T, X]) Free() {
	if s.slot.state != Gone {
		return
	}
	if s.slot.fd >= 0 {
		panic("stream: Free called in Ended, which has to return false instead")
	}
	s.loop.free(s.i, s.slot)
}

// Detach takes the socket out of the loop: it is the caller's, as is all that waits in it,
// and Ended is not called. It goes on counting as a stream until discount is called, on
// any goroutine. A stream with TLS cannot be detached.
func (s S[T, X]) Detach() (fd int, discount func(), err error) {
	if s.IsSecure() || s.slot.state == Securing {
		return -1, nil, errors.ErrUnsupported
	}
	fd = int(s.slot.fd)
	if err := s.loop.poll.Remove(fd); err != nil {
		return -1, nil, err
	}
	s.loop.unlist(s.i, s.slot)
	e, isReserved, isCounted := s.loop.engine, s.slot.flags&reserved != 0, s.slot.flags&uncounted == 0
	s.loop.vacate(s.i, s.slot)
	return fd, func() {
		if isCounted {
			e.discount(isReserved)
		}
	}, nil
}

// Hold stops the reading for a reason of the owner's, until Go is called for it and there
// is no other. It does nothing to a stream that is ending or has ended.
func (s S[T, X]) Hold(why Hold) {
	if !s.isAlive() {
		return
	}
	s.slot.why |= why
	s.settle()
}

// Go ends a reason to hold. What may be handled then is for the caller to know: Resume is
// not called.
func (s S[T, X]) Go(why Hold) {
	s.slot.why &^= why
	s.settle()
}

// isAlive reports whether the stream has not begun to end.
func (s S[T, X]) isAlive() bool {
	return s.slot.state == Flowing || s.slot.state == Held || s.slot.state == Dialing || s.slot.state == Securing
}

// Why returns the reasons for which the stream is held.
func (s S[T, X]) Why() Hold { return s.slot.why }

// Yield holds the stream until the others of its loop have had their turn, Resume.
func (s S[T, X]) Yield() {
	if s.slot.why&Turn == 0 && s.isAlive() {
		s.slot.why |= Turn
		s.loop.turns.waiting = append(s.loop.turns.waiting, s.Token())
	}
	s.settle()
}

// settle brings the stream into the state that follows. In a callback of its own it can
// wait.
func (s S[T, X]) settle() {
	if s.loop.current != s.i {
		s.loop.settle(s.i, s.slot)
	}
}

// Read reads once, as if the socket had become readable, and reports whether there was
// anything: then Input was called, or Ended if reading has failed. Only a stream that is
// Flowing or Held is read.
func (s S[T, X]) Read() bool {
	if st := s.slot.state; st != Flowing && st != Held {
		return false
	}
	return s.loop.readOnce(s.i, s.slot)
}

// SetDue sets the tick by which Due is called, 0 for never. It does nothing to a stream
// that is ending or has ended.
func (s S[T, X]) SetDue(at uint32) {
	if !s.isAlive() {
		return
	}
	l := s.loop
	if s.slot.ext != 0 {
		if x := l.exts.get(s.slot.ext); x.outbox.waiting > 0 {
			x.due = at
			at = earlier(at, l.stallEnd(s.slot))
		}
	}
	l.setDue(s.i, at)
}

// DueBy moves the deadline forward to at, 0 for none.
func (s S[T, X]) DueBy(at uint32) { s.SetDue(earlier(at, s.Due())) }

// Due returns the tick by which Due is called, 0 for never.
func (s S[T, X]) Due() uint32 {
	if s.slot.ext != 0 {
		if x := s.loop.exts.get(s.slot.ext); x.outbox.waiting > 0 {
			return x.due
		}
	}
	return *s.loop.slab.due(s.i)
}

// DueAt has Due called at a point in time, exactly, beside the deadline.
func (s S[T, X]) DueAt(at time.Duration) {
	if s.isAlive() {
		s.loop.exact.Push(timer.Timer{At: at, Token: s.Token()})
		s.loop.exact.Tidy(s.loop.isAwaited)
	}
}
