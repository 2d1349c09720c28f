//go:build linux

package stream

import (
	"time"

	"github.com/usher-ws/usher/poller"
)

// readClock is what every event begins with.
func (l *Loop[T, X]) readClock() { l.advance(l.poll.Now()) }

// setDue sets the deadline of i, 0 for none.
func (l *Loop[T, X]) setDue(i, at uint32) {
	*l.slab.due(i) = at
	if at != 0 && at < l.sweepAt && !l.excused {
		l.sweepAt = max(at, l.tick+1)
	}
}

// earlier returns the earlier of two deadlines, of which 0 is none.
func earlier(a, b uint32) uint32 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// lateTick is from when on a tick counts as late: something held the loop up.
const lateTick = 100 * time.Millisecond

// stallEnd is when a peer that takes nothing of what waits has had its time; 0 if
// nothing waits.
func (l *Loop[T, X]) stallEnd(s *slot[T]) uint32 {
	if x := l.exts.get(s.ext); x.outbox.waiting > 0 {
		return Behind(x.stalled, Ticks(l.engine.cfg.WriteTimeout))
	}
	return 0
}

// stalled reports whether the peer took nothing for the write-timeout; if it did,
// the deadline is set anew. It may have taken something without the kernel having
// asked for more.
func (l *Loop[T, X]) stalled(i uint32, s *slot[T]) bool {
	limit := Ticks(l.engine.cfg.WriteTimeout)
	x := l.exts.get(s.ext)
	if limit != 0 && l.tick-x.stalled >= limit {
		x.stalled = max(x.stalled, l.TakenAt(l.progress(s)))
		if l.tick-x.stalled >= limit {
			return true
		}
	}
	l.setDue(i, earlier(x.due, Behind(x.stalled, limit)))
	return false
}

// progress asks the kernel what has become of the bytes sent.
func (l *Loop[T, X]) progress(s *slot[T]) poller.Outgoing { return l.engine.cfg.Progress(int(s.fd)) }

// TakenAt is the tick in which the peer last took a byte.
func (l *Loop[T, X]) TakenAt(o poller.Outgoing) uint32 {
	return l.tick - uint32(min(o.Taken()>>tickBits, time.Duration(l.tick)))
}
