//go:build linux

package stream

import (
	"math"
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

// isAwaited reports whether a point in time still means something to a stream.
func (l *Loop[T, X]) isAwaited(tok uint64) bool {
	_, s := l.slab.find(tok)
	return s != nil && s.state < Finishing
}

// lateTick is from when on a tick counts as late: something held the loop up.
const lateTick = 100 * time.Millisecond

// stallEnd is when a peer that takes nothing of what waits has had its time; 0 if
// nothing waits.
func (l *Loop[T, X]) stallEnd(s *slot[T]) uint32 {
	if x := l.exts.get(s.ext); x.outbox.waiting > 0 {
		return Behind(l.tick, x.stalled.Left(l.Ran(), Ticks(l.engine.cfg.WriteTimeout)))
	}
	return 0
}

// stalled reports whether the peer took nothing for the write-timeout; if it did,
// the deadline is set anew. It may have taken something without the kernel having
// asked for more.
func (l *Loop[T, X]) stalled(i uint32, s *slot[T]) bool {
	limit, x := Ticks(l.engine.cfg.WriteTimeout), l.exts.get(s.ext)
	if limit != 0 && x.stalled.Elapsed(l.Ran()) >= limit {
		ago := TakenAgo(l.progress(s))
		if ago >= limit {
			return true
		}
		x.stalled.Cap(l.Ran(), ago)
	}
	l.setDue(i, earlier(x.due, l.stallEnd(s)))
	return false
}

// keepsAll reports whether bytes wait, here and in the kernel, none of which the peer took for
// the write-timeout.
func (l *Loop[T, X]) keepsAll(s *slot[T]) bool {
	if l.exts.get(s.ext).outbox.waiting == 0 {
		return false
	}
	o := l.progress(s)
	return o.Unsent > 0 && TakenAgo(o) >= Ticks(l.engine.cfg.WriteTimeout)
}

// progress asks the kernel what has become of the bytes sent.
func (l *Loop[T, X]) progress(s *slot[T]) poller.Outgoing { return l.engine.cfg.Progress(int(s.fd)) }

// TakenAgo is how many ticks ago the peer last took a byte.
func TakenAgo(o poller.Outgoing) uint32 {
	return uint32(min(o.Taken()>>tickBits, math.MaxUint32))
}
