//go:build linux

package server

import (
	"math"
	"time"

	"github.com/usher-ws/usher/poller"
)

// Deadlines are kept in ticks of the loop's clock, a shift instead of a division from
// its time. A uint32 of them lasts nine years.
const (
	tickBits   = 26
	tickLength = 1 << tickBits * time.Nanosecond // 67 ms
)

// ticks is how many ticks it takes until d has passed for sure, counted from one that
// had begun; 0 for no time.
func ticks(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	return uint32(min((d-1)>>tickBits+2, math.MaxUint32))
}

// readClock is what every event begins with. The clock never goes back.
func (l *loop) readClock() {
	if now := uint32(l.poll.Now() >> tickBits); now > l.tick {
		l.tick = now
	}
}

// deadline is the tick by which d has passed, 0 for no time.
func (l *loop) deadline(d time.Duration) uint32 { return behind(l.tick, ticks(d)) }

// behind is the tick n ticks behind at; with none of them, it is none.
func behind(at, n uint32) uint32 {
	if n == 0 {
		return 0
	}
	return uint32(min(uint64(at)+uint64(n), math.MaxUint32))
}

// setDue sets the deadline of i, 0 for none.
func (l *loop) setDue(i, at uint32) {
	*l.slab.due(i) = at
	if at != 0 && at < l.sweepAt && !l.excused {
		l.sweepAt = max(at, l.tick+1)
	}
}

// dueBy moves the deadline of i forward to at, 0 for none.
func (l *loop) dueBy(i, at uint32) {
	if due := *l.slab.due(i); at != 0 && (due == 0 || at < due) {
		l.setDue(i, at)
	}
}

// expiry is the tick by which the connection's token expires, as far as the
// wall clock can tell now; 0 for never. It is asked anew whenever a deadline is
// set or has come: a clock that was set forward is noticed at the next of them,
// and one that was set back only puts the end off.
func (l *loop) expiry(s *slot) uint32 {
	id := l.identities.get(s.ident)
	if id == nil || id.ExpiresAt.IsZero() {
		return 0
	}
	left := id.ExpiresAt.Sub(l.wall())
	return l.deadline(min(max(left, 1), forever))
}

// expired closes a connection whose token was good until now, and reports whether
// it did.
func (l *loop) expired(i uint32, s *slot) bool {
	id := l.identities.get(s.ident)
	if id == nil || id.ExpiresAt.IsZero() || l.wall().Before(id.ExpiresAt) {
		return false
	}
	l.conclude(i, s, nil, errTokenExpired)
	return true
}

// Deadlines are looked at when one has come, and once a second whatever there is.
const sweepEvery = uint32(time.Second / tickLength)

// duesPerTurn is how many of them are acted upon before the connections have their turn.
const duesPerTurn = 256

// lateTick is from when on a tick counts as late: something held the loop up.
const lateTick = 100 * time.Millisecond

// Timer does what has come due, to the tick for most, exactly for delays.
func (l *loop) Timer() {
	defer l.survive()
	l.underWay, l.at = true, 0
	l.busy.Store(0)
	l.readClock()
	now := l.poll.Now()
	switch planned := time.Duration(l.sweepAt) << tickBits; {
	case l.sweeping != 0:
		l.sweep()
	case now >= planned:
		l.lookAround(now, now-planned)
	}
	for len(l.delays) > 0 && l.delays[0].at <= now {
		if i, s := l.slab.find(l.delays.pop().tok); s != nil && s.state == held {
			l.handle(i, s, due)
		}
	}
	for {
		tok, ok := l.lingerers.popDue(now)
		if !ok {
			break
		}
		if i, s := l.slab.find(tok); s != nil {
			l.handle(i, s, due)
		}
	}
	if l.acceptAt != 0 && l.acceptAt <= now {
		l.resumeAccept()
	}
	l.drainOn()
	l.underWay = false
}

// lookAround begins to look at the deadlines, unless it does so late: then once in a
// while nobody's are looked at, so that what came in time is read first.
func (l *loop) lookAround(now, late time.Duration) {
	l.sweepAt = l.tick + sweepEvery
	if l.id == 0 && now >= l.tidied+time.Second {
		l.tidied = now
		l.srv.perIP.Sweep(now)
		l.srv.perUser.Sweep(now)
		l.srv.ipMessages.Sweep(now)
		l.srv.userMessages.Sweep(now)
	}
	if late >= lateTick {
		l.late++
		l.stopClocks(late)
	}
	if l.excused = late >= lateTick && !l.excused; !l.excused {
		l.sweeping = 1
		l.sweep()
	}
}

// stopClocks keeps the time for which the loop was held up from those who have begun
// a message: they could say what they liked, nobody read it.
func (l *loop) stopClocks(d time.Duration) {
	for _, x := range l.exts.all {
		if x.since != 0 && x.paused == 0 {
			x.since = min(x.since+uint32(d>>tickBits), l.tick+1)
		}
	}
}

// schedule arms the timer for whatever comes first.
func (l *loop) schedule() {
	next := time.Duration(l.sweepAt) << tickBits
	if l.sweeping != 0 {
		next = l.poll.Now() // the connections have had their turn by then
	}
	if len(l.delays) > 0 {
		next = min(next, l.delays[0].at)
	}
	if at, ok := l.lingerers.first(); ok {
		next = min(next, at)
	}
	if l.acceptAt != 0 {
		next = min(next, l.acceptAt)
	}
	if l.drain.active {
		next = min(next, l.poll.Now()+drainStep)
	}
	if err := l.poll.SetTimer(next); err != nil {
		l.srv.log.error("server: cannot set the timer", "err", err)
	}
}

// sweep looks at all deadlines, from where it was when its turn ended: about a
// millisecond for a million of them. What has come is acted upon; what comes next says
// when to look again.
func (l *loop) sweep() {
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
func (l *loop) nextDue() uint32 {
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

// expire does what a deadline means in the connection's state.
func (l *loop) expire(i uint32, s *slot) {
	switch s.state {
	case head:
		if l.exts.get(s).head != nil {
			l.refuse(i, s, nil, nil, errTimeout)
			return
		}
		l.release(i, s, errHangup) // it never spoke: nor do we
	case pending:
		a := l.takeQuestion(s)
		lr := l.places.all[a.place].route
		l.abandon(a)
		l.refuse(i, s, lr, a.request, errUndecided.WithRetryAfter(jitter(time.Second)))
	case open:
		l.expireOpen(i, s)
	case held:
		l.expireHeld(i, s)
	case closing:
		if !l.stalled(i, s) {
			return
		}
		l.release(i, s, errWriteTimeout)
	case lingering:
		l.expireLingering(i, s)
	}
}

// expireHeld ends a delay, or a connection whose peer takes nothing or whose token
// has expired.
func (l *loop) expireHeld(i uint32, s *slot) {
	if l.expired(i, s) {
		return
	}
	if x := l.exts.get(s); s.why&byDelay != 0 && x.resume <= l.poll.Now() {
		x.resume = 0
		s.why &^= byDelay
		l.exts.trim(s)
		if s.why == 0 {
			l.proceed(i, s)
			return
		}
	}
	if s.why&byBacklog == 0 {
		l.setDue(i, l.expiry(s))
		return
	}
	if l.stalled(i, s) {
		l.release(i, s, errWriteTimeout)
		return
	}
	l.dueBy(i, l.expiry(s))
}

// stalled reports whether the peer took nothing for the write-timeout; if it did,
// the deadline is set anew. It may have taken something without the kernel having
// asked for more.
func (l *loop) stalled(i uint32, s *slot) bool {
	limit := ticks(l.srv.writeTimeout())
	if limit == 0 {
		l.setDue(i, 0)
		return false
	}
	x := l.exts.get(s)
	if l.tick-x.stalled >= limit {
		x.stalled = max(x.stalled, l.takenAt(progress(int(s.fd))))
		if l.tick-x.stalled >= limit {
			return true
		}
	}
	l.setDue(i, behind(x.stalled, limit))
	return false
}

// progress is poller.Progress, but for tests that have no time.
var progress = poller.Progress

// takenAt is the tick in which the peer last took a byte.
func (l *loop) takenAt(o poller.Outgoing) uint32 {
	return l.tick - uint32(min(o.Taken()>>tickBits, time.Duration(l.tick)))
}

// timer is an exact point in a connection's time.
type timer struct {
	at  time.Duration
	tok uint64
}

// timers is a binary heap, the earliest first. A connection has at most one entry
// that matters; those of connections that are gone fall out in their time.
type timers []timer

func (h *timers) push(t timer) {
	q := append(*h, t)
	at := len(q) - 1
	for at > 0 && q[at].at < q[(at-1)/2].at {
		q[at], q[(at-1)/2] = q[(at-1)/2], q[at]
		at = (at - 1) / 2
	}
	*h = q
}

// pop takes the earliest out; there must be one.
func (h *timers) pop() timer {
	q := *h
	first, last := q[0], len(q)-1
	q[0] = q[last]
	q = q[:last]
	for at := 0; ; {
		next := 2*at + 1
		if next+1 < last && q[next+1].at < q[next].at {
			next++
		}
		if next >= last || q[at].at <= q[next].at {
			break
		}
		q[at], q[next] = q[next], q[at]
		at = next
	}
	*h = q
	return first
}

// lingerers queues those that linger. All linger equally long, so that the first
// in is the first due.
type lingerers struct {
	queue []timer
	from  int
}

func (q *lingerers) push(tok uint64, at time.Duration) {
	if q.from > len(q.queue)/2 && q.from > 64 {
		q.queue = q.queue[:copy(q.queue, q.queue[q.from:])]
		q.from = 0
	}
	q.queue = append(q.queue, timer{at, tok})
}

func (q *lingerers) first() (time.Duration, bool) {
	if q.from == len(q.queue) {
		return 0, false
	}
	return q.queue[q.from].at, true
}

func (q *lingerers) pop() (uint64, bool) {
	if q.from == len(q.queue) {
		q.queue, q.from = q.queue[:0], 0
		return 0, false
	}
	q.from++
	return q.queue[q.from-1].tok, true
}

func (q *lingerers) popDue(now time.Duration) (uint64, bool) {
	if at, ok := q.first(); !ok || at > now {
		return 0, false
	}
	return q.pop()
}
