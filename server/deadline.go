//go:build linux

package server

import (
	"math/rand/v2"
	"time"

	"github.com/usher-ws/usher/frame"
)

// pingsPerSweep bounds how many pings go out at once.
const pingsPerSweep = 500

// pingFrame is a ping without payload.
var pingFrame = frame.AppendFrame(nil, frame.OpPing, nil)

// deadline is the second by which d has passed, or 0 for none.
func (l *loop) deadline(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	return max(1, uint32((l.poll.Now()+d+time.Second-1)/time.Second))
}

// dueBy moves the deadline of i forward to at, 0 for none.
func (l *loop) dueBy(i, at uint32) {
	if p := l.slab.due(i); at != 0 && (*p == 0 || at < *p) {
		*p = at
	}
}

// openDeadline sets when an open connection is looked at next: after half the
// idle-timeout, spread by a quarter either way so that a crowd that came at once
// is not pinged at once; or when its token expires.
func (l *loop) openDeadline(i uint32, s *slot) {
	var at uint32
	if idle := l.srv.idleTimeout(); idle > 0 {
		at = l.deadline(idle*3/8 + rand.N(idle/4+1))
	}
	*l.slab.due(i) = at
	l.dueBy(i, l.expiry(s))
}

// expiry is the second in which the connection's token expires, as far as the
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

// lateTick is from when on a tick counts as late: something held the loop up.
const lateTick = 100 * time.Millisecond

// Timer does what has come due, to the second for most, exactly for delays.
func (l *loop) Timer() {
	defer l.survive()
	l.underWay, l.at = true, 0
	l.busy.Store(0)
	now := l.poll.Now()
	l.sec = uint32(now / time.Second)
	if now >= l.swept+time.Second {
		late := now >= l.swept+time.Second+lateTick
		if late {
			l.late++
		}
		l.swept = now.Truncate(time.Second)
		l.pings = 0
		if l.excused = late && !l.excused; !l.excused {
			l.sweep()
		}
		if l.id == 0 {
			l.srv.perIP.Sweep(now)
			l.srv.perUser.Sweep(now)
			l.srv.ipMessages.Sweep(now)
			l.srv.userMessages.Sweep(now)
		}
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

// schedule arms the timer for whatever comes first.
func (l *loop) schedule() {
	next := l.swept + time.Second
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

// sweep looks at all deadlines: about a millisecond for a million of them.
func (l *loop) sweep() {
	for k, c := range *l.slab.chunks.Load() {
		for j := range c.due {
			if at := c.due[j]; at != 0 && at <= l.sec {
				l.handle(uint32(k*chunkSlots+j), &c.slots[j], due)
			}
		}
	}
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
		l.release(i, s, errHangup)
	}
}

// expireOpen pings a peer that is silent, and closes one that stays so, that does
// not finish its message, or whose token has expired.
func (l *loop) expireOpen(i uint32, s *slot) {
	if l.expired(i, s) {
		return
	}
	since := l.exts.get(s).since
	if limit := seconds(l.srv.messageTimeout()); since != 0 && limit > 0 {
		if l.sec+1-since >= limit {
			l.conclude(i, s, nil, &CloseError{Code: frame.StatusPolicyViolation, Reason: "message_timeout"})
			return
		}
	}
	limit, silent := seconds(l.srv.idleTimeout()), l.sec-s.last
	switch {
	case limit == 0:
		*l.slab.due(i) = 0
	case silent >= limit:
		l.conclude(i, s, nil, &CloseError{Code: frame.StatusPolicyViolation, Reason: "idle_timeout"})
	case s.flags&pinged != 0:
		*l.slab.due(i) = s.last + limit
	case silent*8 < limit*3:
		l.openDeadline(i, s)
	case l.pings >= pingsPerSweep:
		*l.slab.due(i) = l.sec + 1
	default:
		l.pings++
		s.flags |= pinged
		*l.slab.due(i) = max(s.last+limit, l.sec+1)
		l.deliver(i, s, pingFrame, 0)
	}
	if s.state != open && s.state != held {
		return
	}
	l.dueBy(i, l.expiry(s))
	if limit := seconds(l.srv.messageTimeout()); since != 0 && limit > 0 && s.state == open {
		l.dueBy(i, since-1+limit)
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
		*l.slab.due(i) = l.expiry(s)
		return
	}
	if l.stalled(i, s) {
		l.release(i, s, errWriteTimeout)
		return
	}
	l.dueBy(i, l.expiry(s))
}

// stalled reports whether the peer took nothing for the write-timeout; if it did,
// the deadline is set anew.
func (l *loop) stalled(i uint32, s *slot) bool {
	limit := seconds(l.srv.writeTimeout())
	if limit == 0 {
		*l.slab.due(i) = 0
		return false
	}
	since := l.exts.get(s).stalled
	if l.sec-since >= limit {
		return true
	}
	*l.slab.due(i) = since + limit
	return false
}

// seconds rounds a timeout up; none is 0.
func seconds(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	return uint32((d + time.Second - 1) / time.Second)
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
