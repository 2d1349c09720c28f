//go:build linux

package server

import (
	"time"

	"github.com/usher-ws/usher/frame"
)

// charge takes what an event costs from the connection's buckets, and reports
// which limit it exceeds, if one. Every frame costs bytes; a complete data
// message costs one message, before anybody has looked at what it says.
func (l *loop) charge(s *slot, r *loopRoute, p *frame.Protocol, ev frame.Event) (v Violation, limited bool) {
	if !r.Limits.Bytes.Unlimited() {
		cost, now := p.TakeCost(), l.poll.Now()
		if r.Limits.Over == Delay {
			// A debt: the next frame waits until it is paid.
			s.bytes.DelayN(r.Limits.Bytes, now, cost)
		} else if cost > 0 && !s.bytes.AllowN(r.Limits.Bytes, now, cost) {
			v, limited = Violation{"bytes", r.Limits.Bytes}, true
		}
	}
	if ev.Kind == frame.MessageEvent && !s.messages.AllowN(r.Limits.Messages, l.poll.Now(), 1) {
		v, limited = Violation{"messages", r.Limits.Messages}, true
	}
	return v, limited
}

// mustWait holds the connection if its next message may not be read yet. The
// bucket is asked before the message is read, so that nothing has to be put back.
func (l *loop) mustWait(c Conn, s *slot, r *loopRoute) bool {
	now := l.poll.Now()
	wait := s.messages.WaitN(r.Limits.Messages, now, 1)
	if !r.Limits.Bytes.Unlimited() {
		wait = max(wait, s.bytes.WaitN(r.Limits.Bytes, now, 0))
	}
	if wait <= 0 {
		return false
	}
	s.why |= byDelay
	l.exts.need(s).resume = now + wait
	l.delays.push(timer{now + wait, c.token()})
	return true
}

// warn tells a connection that a message of its was over the limit and is
// dropped, if the route warns and the last warning is long enough ago.
func (l *loop) warn(c Conn, s *slot, r *loopRoute, v Violation) *CloseError {
	if r.Limits.Over != Warn || r.OnLimit == nil || !l.mayWarn(s) {
		return nil
	}
	return l.closeErrorFor(c, r, l.callOnLimit(r, c, v))
}

func limitClose(v Violation) *CloseError {
	return &CloseError{Code: frame.StatusPolicyViolation, Reason: v.Limit + "_limit"}
}

func (l *loop) callOnLimit(r *loopRoute, c Conn, v Violation) (err error) {
	defer l.guard(&err)
	r.OnLimit(c, v)
	return nil
}

// warnEvery is how often at most a connection is told that it is too loud.
const warnEvery = time.Second

// mayWarn reports whether the last warning is long enough ago, and if so notes
// this one. The clock is kept in milliseconds that wrap after 49 days.
func (l *loop) mayWarn(s *slot) bool {
	now := uint32(l.poll.Now()/time.Millisecond) | 1
	if s.warned != 0 && now-s.warned < uint32(warnEvery/time.Millisecond) {
		return false
	}
	s.warned = now
	return true
}
