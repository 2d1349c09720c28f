//go:build linux

package server

import (
	"math/rand/v2"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
)

// This file is the clock of messages: it runs from the first byte of one to its last, and
// stands while we do not read.

// keepPartial stores what straddles reads. If that is a message that has begun, its
// clock runs from its first byte.
func (l *loop) keepPartial(s link, partial *frame.Partial, whole bool) {
	if partial == nil {
		if s.HasExtra() {
			x := s.Extra()
			x.partial, x.since, x.paused = nil, 0, 0
			s.TrimExtra()
		}
		return
	}
	x := s.NeedExtra()
	x.partial = partial
	if x.since == 0 || whole {
		x.since = l.Tick() + 1
		s.DueBy(l.messageEnd(s))
	}
}

// stopMessage stops the clock of the message under way, since we do not read it. A
// connection that waits for its turn is being read.
func (l *loop) stopMessage(s link) {
	if !s.HasExtra() || s.Why()&^stream.Turn == 0 {
		return
	}
	if x := s.Extra(); x.since != 0 && x.paused == 0 {
		x.paused = l.Tick() + 1
	}
}

// stopClocks takes the time for which the loop was held up off the clocks of all messages
// under way: whatever was sent meanwhile, nobody read it.
func (l *loop) stopClocks(d time.Duration) {
	for x := range l.Extras() {
		if x.since != 0 && x.paused == 0 {
			x.since = min(x.since+uint32(d/stream.TickLength), l.Tick()+1)
		}
	}
}

// messageEnd is by when the message under way must be complete, 0 for any time.
func (l *loop) messageEnd(s link) uint32 {
	x := s.Extra()
	if x.since == 0 || x.paused != 0 {
		return 0
	}
	return stream.Behind(x.since-1, stream.Ticks(l.srv.messageTimeout()))
}

// isLate reports whether the message under way takes too long.
func (l *loop) isLate(s link) bool {
	end := l.messageEnd(s)
	return end != 0 && end <= l.Tick()
}

// expiry is the tick by which the connection's token expires, as far as the
// wall clock can tell now; 0 for never. It is asked anew whenever a deadline is
// set or has come: a clock that was set forward is noticed at the next of them,
// and one that was set back only puts the end off.
func (l *loop) expiry(s link) uint32 {
	id := l.identities.get(s.Data().ident)
	if id == nil || id.ExpiresAt.IsZero() {
		return 0
	}
	left := id.ExpiresAt.Sub(l.wall())
	return l.Deadline(min(max(left, 1), forever))
}

// pause notes that a connection is held, if it is: the clock of its message stops, and
// nothing but its token and the write-timeout can end it.
func (l *loop) pause(s link) {
	if s.State() != stream.Held || !s.Data().facts.isUsers() {
		return
	}
	if s.Waiting() > 0 {
		s.Data().facts |= owesWritable
	}
	l.stopMessage(s)
	s.SetDue(l.expiry(s))
}

// reopen ends the holding of a connection: its clocks run again.
func (l *loop) reopen(s link) {
	d := s.Data()
	d.last, d.pinged = l.Tick(), 0
	if s.HasExtra() {
		if x := s.Extra(); x.paused != 0 {
			x.since += l.Tick() + 1 - x.paused
			x.paused = 0
		}
	}
	l.openDeadline(s)
}

// openDeadline sets when an open connection is looked at next: to ping it, or because it
// did not answer; for the end of a message; or when its token expires.
func (l *loop) openDeadline(s link) {
	at := l.pingDue(s.Data().last)
	if s.Data().pinged != 0 {
		at = stream.Behind(s.Data().last, stream.Ticks(l.srv.idleTimeout()))
	}
	s.SetDue(at)
	s.DueBy(l.messageEnd(s))
	s.DueBy(l.expiry(s))
}

// pingDue is when to ping a peer that was last heard from at the given tick: spread over two
// fifths of the time, so that a crowd that came at once is not pinged at once.
func (l *loop) pingDue(last uint32) uint32 {
	after := l.srv.pingAfter()
	if after == 0 {
		return 0
	}
	return max(stream.Behind(last, stream.Ticks(after*4/5+rand.N(after*2/5+1))), l.Tick()+1)
}
