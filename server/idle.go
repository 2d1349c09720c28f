//go:build linux

package server

import (
	"math/rand/v2"
	"time"

	"github.com/usher-ws/usher/frame"
)

// This file is about peers that say nothing: when they are asked, and when that they
// do not answer is the end.
//
//	last                  the last sign of life: input, or bytes that the peer took
//	last + pingAfter      ±20 %: it is pinged
//	last + idle-timeout   the end, unless the ping left less than half of it ago
//
// So that two numbers are enough, a ping that comes late moves last forward. When it
// left, slot.pinged knows: what was sent behind it and taken is a sign of life, and
// that the peer's kernel took the ping itself is none.

// pingFrame is a ping without payload.
var pingFrame = frame.AppendFrame(nil, frame.OpPing, nil)

// pingAfter is the silence after which a peer is pinged; 0 for never.
func (s *Server) pingAfter() time.Duration {
	every, half := s.pingInterval(), s.idleTimeout()/2
	if every == 0 || half > 0 && half < every {
		return half
	}
	return every
}

// openDeadline sets when an open connection is looked at next: to be pinged, or for
// want of an answer; for the end of a message; or when its token expires.
func (l *loop) openDeadline(i uint32, s *slot) {
	at := l.pingDue(s.last)
	if s.pinged != 0 {
		at = behind(s.last, ticks(l.srv.idleTimeout()))
	}
	l.setDue(i, at)
	l.dueBy(i, l.messageEnd(s))
	l.dueBy(i, l.expiry(s))
}

// pingDue is when a peer is pinged that was heard of last at a tick: spread over two
// fifths of the time, so that a crowd that came at once is not pinged at once.
func (l *loop) pingDue(last uint32) uint32 {
	after := l.srv.pingAfter()
	if after == 0 {
		return 0
	}
	return max(behind(last, ticks(after*4/5+rand.N(after*2/5+1))), l.tick+1)
}

// messageEnd is by when the message under way must be complete, 0 for any time.
func (l *loop) messageEnd(s *slot) uint32 {
	x := l.exts.get(s)
	if x.since == 0 || x.paused != 0 {
		return 0
	}
	return behind(x.since-1, ticks(l.srv.messageTimeout()))
}

// expireOpen pings a peer that is silent, and closes one that does not answer, that
// does not finish its message, or whose token has expired.
func (l *loop) expireOpen(i uint32, s *slot) {
	if l.expired(i, s) {
		return
	}
	if l.isLate(s) || l.isIdle(s) {
		// What has come is heard before the verdict.
		tok := token(i, s.gen.Load())
		l.readInput(i, s)
		if _, s := l.slab.find(tok); s == nil || s.state != open {
			return
		}
	}
	if l.isLate(s) {
		l.conclude(i, s, nil, &CloseError{Code: frame.StatusPolicyViolation, Reason: "message_timeout"})
		return
	}
	if l.isIdle(s) && l.giveUp(i, s) {
		return
	}
	if after := l.srv.pingAfter(); after > 0 && s.pinged == 0 {
		l.ping(i, s, ticks(after*4/5))
	}
	if s.state == open {
		l.openDeadline(i, s)
	}
}

// isLate reports whether the message under way takes too long.
func (l *loop) isLate(s *slot) bool {
	end := l.messageEnd(s)
	return end != 0 && end <= l.tick
}

// isIdle reports whether the peer has not answered for the idle-timeout.
func (l *loop) isIdle(s *slot) bool {
	return s.pinged != 0 && behind(s.last, ticks(l.srv.idleTimeout())) <= l.tick
}

// ping asks a peer that was silent for so many ticks whether it is there.
func (l *loop) ping(i uint32, s *slot, silence uint32) {
	if l.tick-s.last < silence {
		return
	}
	if s.last = max(s.last, l.takenAt(progress(int(s.fd)))); l.tick-s.last < silence {
		return
	}
	l.notePing(s)
	l.deliver(i, s, pingFrame, 0)
}

// pingUnits of what slot.pinged counts are the idle-timeout.
const pingUnits = 128

// notePing notes that a ping leaves now. If nobody is idle, it begins another silence.
func (l *loop) notePing(s *slot) {
	limit, half := ticks(l.srv.idleTimeout()), ticks(l.srv.idleTimeout()/2)
	if limit == 0 {
		s.last = l.tick
		return
	}
	if now := l.tick + half; now >= limit {
		s.last = max(s.last, now-limit)
	}
	s.pinged = uint8(1 + uint64(l.tick-s.last)*pingUnits/uint64(limit))
}

// pingedAt is when the ping left, or up to a unit and the time of a pass later.
func (l *loop) pingedAt(s *slot) uint32 {
	const pass = 2
	return s.last + uint32((uint64(s.pinged)*uint64(ticks(l.srv.idleTimeout()))+pingUnits-1)/pingUnits) + pass
}

// giveUp closes a peer that did not answer, and reports whether it did. One that took
// bytes since it was asked is alive. One that has no room for the ping has not been
// asked, and if it takes nothing that is for the write-timeout.
func (l *loop) giveUp(i uint32, s *slot) bool {
	o := progress(int(s.fd))
	if taken := l.takenAt(o); taken > l.pingedAt(s) {
		s.last, s.pinged = taken, 0
		return false
	}
	if o.Unsent > 0 && o.Acked < l.srv.idleTimeout() { // its kernel answers ours
		if limit := l.srv.writeTimeout(); limit > 0 && o.Taken() >= limit {
			l.release(i, s, errWriteTimeout)
			return true
		}
		l.notePing(s) // it leaves now at the earliest
		return false
	}
	l.conclude(i, s, nil, &CloseError{Code: frame.StatusPolicyViolation, Reason: "idle_timeout"})
	return true
}
