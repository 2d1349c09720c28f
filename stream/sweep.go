//go:build linux

package stream

import "time"

// Deadlines are looked at when one has come, and once a second whatever there is.
const sweepEvery = uint32(time.Second / TickLength)

// duesPerTurn is how many of them are acted upon before the streams have their turn; and how
// many points in time, and ends of lingering.
const duesPerTurn = 256

// lookAtDeadlines does what has come due.
func (l events[T, X]) lookAtDeadlines() {
	now := l.poll.Now()
	switch planned := time.Duration(l.sweepAt) << tickBits; {
	case l.sweeping != 0:
		l.sweep()
	case now >= planned:
		l.lookAround(now - planned)
	}
	for range duesPerTurn {
		tok, ok := l.exact.PopDue(now)
		if !ok {
			break
		}
		if l.isAwaited(tok) {
			i, s := l.slab.find(tok)
			l.at = i
			l.callDue(i, s)
		}
	}
	for range duesPerTurn {
		tok, ok := l.lingering.queue.PopDue(now)
		if !ok {
			break
		}
		if i, s := l.slab.find(tok); s != nil {
			l.expire(i, s)
		}
	}
}

// lookAround begins to look at the deadlines. If it comes late it skips that once, so that
// what came in time is read first.
func (l events[T, X]) lookAround(late time.Duration) {
	l.sweepAt = l.tick + sweepEvery
	l.secure.forget()
	if late >= lateTick {
		l.late++
	}
	if l.excused = late >= lateTick && !l.excused; !l.excused {
		l.sweeping = 1
		l.sweep()
	}
}

// sweep looks at all deadlines, from where it was when its turn ended: about a
// millisecond for a million of them. What has come is acted upon; what comes next says
// when to look again.
func (l events[T, X]) sweep() {
	for range duesPerTurn {
		i := l.nextDue()
		if i == 0 {
			l.sweeping = 0
			return
		}
		l.expire(i, l.slab.at(i))
	}
}

// nextDue returns the next slot whose deadline has come, or 0 if there is none left.
func (l events[T, X]) nextDue() uint32 {
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
func (l events[T, X]) schedule(next time.Duration) {
	first := time.Duration(l.sweepAt) << tickBits
	if l.sweeping != 0 {
		first = l.poll.Now() // the streams have had their turn by then
	}
	if at, ok := l.exact.First(); ok {
		first = min(first, at)
	}
	if at, ok := l.lingering.queue.First(); ok {
		first = min(first, at)
	}
	if a := &l.engine.acceptor; l.Loop == a.Loop && a.pausedTo != 0 {
		first = min(first, a.pausedTo)
	}
	if next != 0 {
		first = min(first, next)
	}
	if err := l.poll.SetTimer(first); err != nil {
		l.logError("stream: cannot set the timer", "err", err)
	}
}

// expire does what a deadline means in the stream's state.
func (l events[T, X]) expire(i uint32, s *slot[T]) {
	l.at = i
	switch s.state {
	case Free, Gone:
		return
	case Lingering:
		l.lingering.expire(i, s)
		return
	case Finishing:
		if l.stalled(i, s) {
			l.giveUpOn(i, s)
		}
		return
	}
	if x := l.exts.get(s.ext); x.outbox.waiting > 0 {
		if l.stalled(i, s) {
			l.giveUpOn(i, s)
			return
		}
		if x.due == 0 || x.due > l.tick {
			return
		}
		x.due = 0
	}
	*l.slab.due(i) = l.stallEnd(s) // the owner's is none any more
	l.callDue(i, s)
}

// callDue tells the owner that its deadline has passed, or a point in time has come.
func (l events[T, X]) callDue(i uint32, s *slot[T]) {
	call := l.enter(i, s)
	l.handler.Due(l.of(i, s))
	l.leave(i, s, call)
}

// giveUpOn cuts a stream whose peer takes nothing, unless it takes what it is offered now:
// it may be that we were late. That the kernel takes more, and keeps it, is nothing.
func (l *Loop[T, X]) giveUpOn(i uint32, s *slot[T]) {
	sent, tok := l.sent, token(i, s.gen.Load())
	l.flush(i, s)
	if j, _ := l.slab.find(tok); j != 0 && (l.sent == sent || l.keepsAll(s)) {
		l.release(i, s, ErrWriteTimeout)
	}
}
