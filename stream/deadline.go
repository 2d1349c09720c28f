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

// Deadlines are looked at when one has come, and once a second whatever there is.
const sweepEvery = uint32(time.Second / TickLength)

// duesPerTurn is how many of them are acted upon before the streams have their turn.
const duesPerTurn = 256

// lateTick is from when on a tick counts as late: something held the loop up.
const lateTick = 100 * time.Millisecond

// lookAtDeadlines does what has come due.
func (l *Loop[T, X]) lookAtDeadlines() {
	now := l.poll.Now()
	switch planned := time.Duration(l.sweepAt) << tickBits; {
	case l.sweeping != 0:
		l.sweep()
	case now >= planned:
		l.lookAround(now - planned)
	}
	for {
		tok, ok := l.exact.PopDue(now)
		if !ok {
			break
		}
		if i, s := l.slab.find(tok); s != nil && s.state < Finishing {
			l.at = i
			l.callDue(i, s)
		}
	}
	for {
		tok, ok := l.lingerers.PopDue(now)
		if !ok {
			break
		}
		if i, s := l.slab.find(tok); s != nil {
			l.handle(i, s, due)
		}
	}
}

// lookAround begins to look at the deadlines, unless it does so late: then once in a
// while nobody's are looked at, so that what came in time is read first.
func (l *Loop[T, X]) lookAround(late time.Duration) {
	l.sweepAt = l.tick + sweepEvery
	if late >= lateTick {
		l.late++
		l.handler.Late(late)
	}
	if l.excused = late >= lateTick && !l.excused; !l.excused {
		l.sweeping = 1
		l.sweep()
	}
}

// sweep looks at all deadlines, from where it was when its turn ended: about a
// millisecond for a million of them. What has come is acted upon; what comes next says
// when to look again.
func (l *Loop[T, X]) sweep() {
	for range duesPerTurn {
		i := l.nextDue()
		if i == 0 {
			l.sweeping = 0
			return
		}
		l.handle(i, l.slab.at(i), due)
	}
}

// nextDue returns the next slot whose deadline has come, or 0 if there is none left.
func (l *Loop[T, X]) nextDue() uint32 {
	for chunks := *l.slab.chunks.Load(); l.sweeping < l.slab.next; {
		from := l.sweeping % chunkSlots
		for j, at := range chunks[l.sweeping/chunkSlots].due[from:] {
			switch at--; { // so that none is the greatest
			case at < l.tick:
				l.sweeping += uint32(j) + 1
				return l.sweeping - 1
			case at < l.sweepAt-1:
				l.sweepAt = at + 1
			}
		}
		l.sweeping += chunkSlots - from
	}
	return 0
}

// schedule arms the timer for whatever comes first; next is when the owner wants its
// turn, 0 for any time.
func (l *Loop[T, X]) schedule(next time.Duration) {
	first := time.Duration(l.sweepAt) << tickBits
	if l.sweeping != 0 {
		first = l.poll.Now() // the streams have had their turn by then
	}
	if at, ok := l.exact.First(); ok {
		first = min(first, at)
	}
	if at, ok := l.lingerers.First(); ok {
		first = min(first, at)
	}
	if l.acceptAt != 0 {
		first = min(first, l.acceptAt)
	}
	if next != 0 {
		first = min(first, next)
	}
	if err := l.poll.SetTimer(first); err != nil {
		l.engine.logError("stream: cannot set the timer", "err", err)
	}
}

// expire does what a deadline means in the stream's state.
func (l *Loop[T, X]) expire(i uint32, s *slot[T]) {
	switch s.state {
	case Lingering:
		l.expireLingering(i, s)
		return
	case Finishing:
		if l.stalled(i, s) {
			l.release(i, s, ErrWriteTimeout)
		}
		return
	}
	if x := l.exts.get(s.ext); len(x.unsent()) > 0 {
		if l.stalled(i, s) {
			l.release(i, s, ErrWriteTimeout)
			return
		}
		if x.due == 0 || x.due > l.tick {
			return
		}
		x.due = 0
	}
	l.callDue(i, s)
}

// callDue tells the owner that a deadline has passed, which is none any more.
func (l *Loop[T, X]) callDue(i uint32, s *slot[T]) {
	*l.slab.due(i) = l.stallEnd(s)
	call := l.enter(i, s)
	l.handler.Due(l.of(i, s))
	l.leave(i, s, call)
}

// stallEnd is when a peer that takes nothing of what waits has had its time; 0 if
// nothing waits.
func (l *Loop[T, X]) stallEnd(s *slot[T]) uint32 {
	if x := l.exts.get(s.ext); len(x.unsent()) > 0 {
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
