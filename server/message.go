//go:build linux

package server

import (
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

// stopMessage stops the clock of the message under way: it is we who do not read. To
// wait for one's turn is to be read.
func (l *loop) stopMessage(s link) {
	if !s.HasExtra() || s.Why()&^stream.Turn == 0 {
		return
	}
	if x := s.Extra(); x.since != 0 && x.paused == 0 {
		x.paused = l.Tick() + 1
	}
}

// stopClocks keeps the time for which the loop was held up from those who have begun
// a message: they could say what they liked, nobody read it.
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
