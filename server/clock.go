//go:build linux

package server

import (
	"math/rand/v2"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
)

// This file is the clocks of a connection: of its request or the message under way, from the
// first byte to the last, and of its silence. They stand while we do not read; and while
// something holds up the loop so do those of requests and messages, which the kernel takes in
// only so much of meanwhile.

// keepPartial stores what straddles reads. If that is a message that has begun, its
// clock runs from its first byte.
func (l *loop) keepPartial(s link, partial *frame.Partial, whole bool) {
	if partial == nil {
		if s.HasExtra() {
			x := s.Extra()
			x.partial, x.begun = nil, 0
			s.TrimExtra()
		}
		return
	}
	x := s.NeedExtra()
	begins := x.partial == nil || whole
	if x.partial = partial; begins {
		x.begun = stream.StartClock(l.Ran())
		s.DueBy(l.messageEnd(s))
	}
}

// messageEnd is by when the message under way must be complete, 0 for any time.
func (l *loop) messageEnd(s link) uint32 {
	x := s.Extra()
	if x.partial == nil {
		return 0
	}
	return stream.Behind(l.Tick(), x.begun.Left(l.Ran(), stream.Ticks(l.srv.messageTimeout())))
}

// isLate reports whether the message under way takes too long.
func (l *loop) isLate(s link) bool {
	x, limit := s.Extra(), stream.Ticks(l.srv.messageTimeout())
	return x.partial != nil && limit != 0 && x.begun.Elapsed(l.Ran()) >= limit
}

// expiry is the tick by which the connection's token expires, as far as the
// wall clock can tell now; 0 for never. It is asked anew whenever a deadline is
// set or has come: a clock that was set forward is noticed at the next of them,
// and one that was set back only puts the end off.
func (l *loop) expiry(s link) uint32 {
	at := l.srv.users.expiry(s.Data().ident)
	if at.IsZero() {
		return 0
	}
	left := at.Sub(l.wall())
	return l.Deadline(min(max(left, 1), forever))
}

// pause notes that a connection is held, if it is: its clocks stop, and nothing but its token
// and the write-timeout can end it. One that waits for its turn is being read.
func (l *loop) pause(s link) {
	d := s.Data()
	if s.State() != stream.Held || !d.facts.isUsers() {
		return
	}
	if s.Waiting() > 0 {
		d.facts |= owesWritable
	}
	d.last.Stop(l.Tick())
	if x := s.Extra(); x.partial != nil && s.Why()&^stream.Turn != 0 {
		x.begun.Stop(l.Ran())
	}
	s.SetDue(l.expiry(s))
}

// reopen ends the holding of a connection: its clocks go on. If all has left that had to wait,
// the peer has taken some of it meanwhile, which is a sign of life. If it was asked whether it
// is there it is asked again, as the answer may be behind what was not read.
func (l *loop) reopen(s link) {
	d := s.Data()
	if d.last.GoOn(l.Tick()); d.facts.has(owesWritable) && s.Waiting() == 0 {
		d.last = stream.StartClock(l.Tick())
	}
	d.pinged = 0
	if x := s.Extra(); x.partial != nil {
		x.begun.GoOn(l.Ran())
	}
	l.openDeadline(s)
}

// openDeadline sets when an open connection is looked at next: to ping it, or because it
// did not answer; for the end of a message; or when its token expires.
func (l *loop) openDeadline(s link) {
	d := s.Data()
	silence := l.pingAt()
	if d.pinged != 0 {
		silence = stream.Ticks(l.srv.idleTimeout())
	}
	s.SetDue(stream.Behind(l.Tick(), d.last.Left(l.Tick(), silence)))
	s.DueBy(l.messageEnd(s))
	s.DueBy(l.expiry(s))
}

// pingAt is the silence after which a peer is pinged, 0 for never: spread over two fifths of
// the time, so that a crowd that came at once is not pinged at once.
func (l *loop) pingAt() uint32 {
	after := l.srv.pingAfter()
	if after == 0 {
		return 0
	}
	return stream.Ticks(after*4/5 + rand.N(after*2/5+1))
}
