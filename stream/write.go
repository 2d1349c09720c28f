//go:build linux

package stream

import (
	"github.com/usher-ws/usher/poller"
	"golang.org/x/sys/unix"
)

// transmit gives b to the kernel, or what it does not take to the outbox, and
// brings the stream into the state that follows from it. b is not kept, but for its parts.
func (l *Loop[T, X]) transmit(i uint32, s *slot[T], b []byte, parts []Part) {
	n, full := 0, true
	if (len(b) > 0 || s.state == Finishing) && l.exts.get(s.ext).outbox.waiting == 0 {
		var ok bool
		if n, full, ok = l.give(i, s, b, s.state == Finishing); !ok {
			return
		}
		if !full && n < len(b) && s.flags&armedWrite != 0 {
			l.watch(i, s) // there may be room for more, and no edge ahead
		}
	}
	if n < len(b) {
		l.queue(i, s, b, n, parts)
	}
	l.settle(i, s)
	l.relieve()
}

// send gives b to the kernel, and reports false if that has ended the stream. One that is
// read from while bytes wait is left to be read: what its peer said before it ended may
// still be there.
func (l *Loop[T, X]) send(i uint32, s *slot[T], b []byte) (n int, ok bool) {
	if s.flags&deaf != 0 || len(b) == 0 {
		return len(b), true
	}
	n, errno := l.wire.send(int(s.fd), b, s.state == Finishing && l.secure.hasEnded(i))
	switch {
	case errno == 0 || errno == unix.EAGAIN:
		l.sent += uint64(n)
		return n, true
	case s.state != Finishing && (l.passing || l.isReadOn(l.exts.get(s.ext))):
		s.flags |= deaf
		return len(b), true
	}
	l.release(i, s, errno)
	return 0, false
}

// queue adds b[from:] to the outbox.
func (l *Loop[T, X]) queue(i uint32, s *slot[T], b []byte, from int, parts []Part) {
	x := l.beginWaiting(i, s)
	l.addParts(&x.outbox, b, from, parts)
	l.exts.rank(s.ext)
}

// beginWaiting is called before bytes are added to those that wait, of which there may be none.
func (l *Loop[T, X]) beginWaiting(i uint32, s *slot[T]) *ext[X] {
	x := l.need(i, s)
	if x.outbox.waiting == 0 {
		x.stalled = StartClock(l.Ran())
		if x.due = *l.slab.due(i); s.state == Finishing {
			x.due = 0
		}
		l.setDue(i, earlier(x.due, l.Deadline(l.engine.cfg.WriteTimeout)))
	}
	return x
}

// settle chooses the state that fits: bytes that wait, a reason to be held, or neither.
func (l *Loop[T, X]) settle(i uint32, s *slot[T]) {
	if s.state == Flowing && s.why == 0 && s.ext == 0 && s.flags&(armedRead|armedWrite) == armedRead {
		return // most often
	}
	waiting := s.ext != 0 && l.exts.get(s.ext).outbox.waiting > 0
	if l.isTellable(s) {
		s.why |= Untold
		l.secure.untold = append(l.secure.untold, token(i, s.gen.Load()))
		l.poll.Again()
	}
	switch {
	case s.state == Finishing && waiting:
		l.arm(i, s, armedWrite)
	case s.state == Finishing:
		l.lingering.begin(i, s)
	case s.state != Flowing && s.state != Held:
	case waiting && s.why&^Backlog == 0 && l.isReadOn(l.exts.get(s.ext)):
		s.state, s.why = Flowing, 0
		l.arm(i, s, armedRead|armedWrite)
	case waiting:
		s.state = Held
		s.why |= Backlog
		l.arm(i, s, armedWrite)
	case s.why != 0:
		s.state = Held
		l.arm(i, s, 0)
	default:
		s.state = Flowing
		l.arm(i, s, armedRead)
	}
}

// flush gives the kernel what waits, and lets the stream go on when nothing does any
// more. It is called in no callback: the read buffer is free.
func (l *Loop[T, X]) flush(i uint32, s *slot[T]) {
	if l.exts.get(s.ext).outbox.waiting == 0 {
		return
	}
	x, full := l.need(i, s), false
	for total := 0; x.outbox.waiting > 0 && !full; {
		var n int
		var ok bool
		sent := l.sent
		if n, full, ok = l.flushSome(i, s, x); !ok {
			return
		}
		if l.sent > sent {
			x.stalled = StartClock(l.Ran())
		}
		if total += n; total >= poller.SendLimit && !full {
			break
		}
	}
	if x.outbox.waiting > 0 {
		if l.exts.rank(s.ext); !full {
			l.watch(i, s) // there may be room for more
		}
		return
	}
	l.setDue(i, x.due)
	l.dropOutbox(i, s)
	if s.state == Finishing {
		l.lingering.begin(i, s)
		return
	}
	s.why &^= Backlog
	l.callResume(i, s)
}

// flushSome gives the kernel what is first of what waits, and returns how much of that has
// left, and whether there is no room for more; ok is false if that has ended the stream.
func (l *Loop[T, X]) flushSome(i uint32, s *slot[T], x *ext[X]) (n int, full, ok bool) {
	if len(x.sealed.out) > 0 {
		return l.flushSealed(i, s, x)
	}
	b := x.outbox.next(l.buf)
	if n, full, ok = l.give(i, s, b, s.state == Finishing && len(b) == x.outbox.waiting); ok {
		l.took(&x.outbox, n)
	}
	return n, full, ok
}

// callResume tells the owner that the stream may go on.
func (l *Loop[T, X]) callResume(i uint32, s *slot[T]) {
	if s.why == 0 {
		s.state = Flowing
	}
	call := l.enter(i, s)
	l.handler.Resume(l.of(i, s))
	l.leave(i, s, call)
}

// call is what there is to know when a callback about a stream returns.
type call struct{ before, gen uint32 }

// enter says that a callback about s is called.
func (l *Loop[T, X]) enter(i uint32, s *slot[T]) call {
	c := call{l.current, s.gen.Load() & genBits}
	l.current = i
	return c
}

// leave brings s into the state that follows from what was done meanwhile.
func (l *Loop[T, X]) leave(i uint32, s *slot[T], c call) {
	l.current = c.before
	if s.gen.Load()&genBits == c.gen {
		if l.settle(i, s); s.ext != 0 {
			l.exts.rank(s.ext)
		}
	}
	l.relieve()
}

// finish is S.Finish.
func (l *Loop[T, X]) finish(i uint32, s *slot[T], b []byte) {
	switch s.state {
	case Flowing, Held:
	case Securing: // there is no way to say it
		l.release(i, s, ErrNotSecured)
		return
	default:
		return
	}
	s.state, s.why = Finishing, 0
	if s.ext != 0 {
		l.exts.get(s.ext).due = 0
	}
	l.setDue(i, l.stallEnd(s))
	l.transmit(i, s, b, nil)
}
