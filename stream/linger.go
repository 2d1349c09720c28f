//go:build linux

package stream

import (
	"time"

	"github.com/usher-ws/usher/internal/timer"
	"github.com/usher-ws/usher/poller"
	"golang.org/x/sys/unix"
)

// Lingering ends when the peer hangs up, or lingerTime after what was said last has
// left. Of what it says meanwhile lingerBytes are read.
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 256 << 10
)

// lingering is the part of a loop that streams linger in.
type lingering[T, X any] struct {
	*Loop[T, X]
	queue timer.Queue // all linger equally long
}

// begin says FIN and waits for the peer's: closing a socket with unread input
// would send RST, and the peer could lose what it was told last, RFC 9112 §9.6.
func (l *lingering[T, X]) begin(i uint32, s *slot[T]) {
	if err := l.wire.finish(int(s.fd)); err != nil {
		l.release(i, s, err) // the peer has reset the connection
		return
	}
	l.unlist(i, s) // it may be a newcomer
	s.state = Lingering
	l.arm(i, s, armedRead)
	l.rest(i, s)
}

// rest lets a stream linger within the reserve, for lingerTime at the most. If that has too
// many, others are asked to go.
func (l *lingering[T, X]) rest(i uint32, s *slot[T]) {
	if s.flags&uncounted != 0 { // what takes no room has none to give
		l.setDue(i, l.Deadline(lingerTime))
		return
	}
	l.setDue(i, 0)
	l.queue.Push(timer.Timer{At: l.poll.Now() + lingerTime, Token: token(i, s.gen.Load())})
	if s.flags&reserved == 0 {
		s.flags |= reserved
		l.engine.live.Add(-1)
		l.engine.reserved.Add(1)
	}
	if _, ok := l.members[i]; !ok {
		l.makeRoom(l.enlist(i, s), false)
	}
}

// discard reads and throws away what a peer still says.
func (l *lingering[T, X]) discard(i uint32, s *slot[T]) {
	n, errno := l.recv(s)
	if n == 0 {
		if errno != unix.EAGAIN {
			l.release(i, s, ErrHangup)
		}
		return
	}
	x := l.need(i, s)
	if x.discarded += n; x.discarded > lingerBytes {
		l.arm(i, s, 0) // the rest waits in the kernel
	}
}

// expire ends the lingering, unless what was said last has not left yet, or
// only just: as long as the peer keeps taking it, nothing is lost.
func (l *lingering[T, X]) expire(i uint32, s *slot[T]) {
	switch o := l.progress(s); {
	case !o.Waits() && o.Sent >= lingerTime-lateTick:
		l.release(i, s, ErrHangup)
	case o.Waits() && !l.takes(o):
		l.release(i, s, ErrWriteTimeout)
	case !l.spare(i, s, o):
		l.rest(i, s)
	}
}

// takes reports whether the peer has taken something within the write-timeout.
func (l *lingering[T, X]) takes(o poller.Outgoing) bool {
	limit := l.engine.cfg.WriteTimeout
	return limit == 0 || o.Taken() < limit
}

// evict closes a stream that is to make room, unless there is a place for it elsewhere, or it
// is spared this once: it still takes what it was told.
func (l *lingering[T, X]) evict(i uint32, s *slot[T]) {
	k := l.members[i]
	switch o := l.progress(s); {
	case l.spare(i, s, o):
	case o.Waits() && l.takes(o) && l.engine.sources.pass(k):
	default:
		l.engine.evicted.Add(1)
		l.release(i, s, ErrEvicted)
	}
}

// spare keeps a stream out of the reserve that has yet to send what was said last, to a
// peer that keeps taking it: it counts as any other, if there is room for one. It reports
// whether it did.
func (l *lingering[T, X]) spare(i uint32, s *slot[T], o poller.Outgoing) bool {
	if o.Unsent == 0 || !l.takes(o) {
		return false
	}
	if s.flags&reserved != 0 {
		if !l.engine.seat(l.engine.mostConns()) {
			return false
		}
		l.unlist(i, s)
		l.engine.reserved.Add(-1)
		s.flags &^= reserved
	}
	l.setDue(i, l.Deadline(lingerTime))
	return true
}
