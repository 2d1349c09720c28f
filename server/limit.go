//go:build linux

package server

import (
	"time"

	"github.com/usher-ws/usher/frame"
)

// excess is a limit that an event exceeds, and what it would have taken of it. The
// zero excess is none.
type excess struct {
	limit limit
	n     int
}

// meter charges a loop's connections for what they say.
type meter struct{ *loop }

// slows reports whether r slows down connections that are over its limits.
func (m *meter) slows(r *loopRoute) bool { return r.Limits.Over == Delay && !m.policy.LimitDryRun }

// isWhole reports whether ev is a complete data message, compressed or not.
func isWhole(ev *frame.Event) bool {
	return ev.Kind == frame.MessageEvent || ev.Kind == frame.DeflatedEvent
}

// admit charges for an event, and says whether it is a message that is to be dropped, or how
// the connection ends. The work comes behind that: only a message that will be handled is
// inflated, which may make an ErrorEvent of ev.
func (m *meter) admit(c Conn, s link, r *loopRoute, p *frame.Protocol, ev *frame.Event) (dropped bool, e *CloseError) {
	if over := m.charge(s, r, p, ev); over.limit != within {
		e = m.exceeded(c, s, r, ev, over)
		dropped = !m.policy.LimitDryRun
	}
	if !dropped {
		p.Inflate()
	}
	return dropped, e
}

// charge takes what an event costs from the buckets, and says which limit it
// exceeds, if one. Every frame costs bytes; a complete data message costs what the
// route says, one if it says nothing, before anybody has looked at what it says.
func (m *meter) charge(s link, r *loopRoute, p *frame.Protocol, ev *frame.Event) (over excess) {
	m.repace(s, r)
	if !r.Limits.Bytes.Unlimited() {
		over = m.chargeBytes(s, r, p.TakeCost())
	}
	if !isWhole(ev) {
		if over.limit != within && p.InMessage() {
			s.Data().facts |= spoiled
		}
		return over
	}
	if s.Data().facts.has(spoiled) {
		s.Data().facts &^= spoiled
		over = excess{bytesLimit, 1}
	}
	n := 1
	if r.Limits.Cost != nil {
		n = max(0, r.Limits.Cost(Message{ev.Opcode, ev.Data}))
	}
	if m.slows(r) {
		m.owe(s, r, n)
		return over
	}
	if limit := m.take(s, r, n); limit != within {
		over = excess{limit, n}
	}
	return over
}

func (m *meter) chargeBytes(s link, r *loopRoute, n int) excess {
	if n == 0 {
		return excess{}
	}
	if m.slows(r) {
		s.Data().bytes.DelayN(r.Limits.Bytes, m.Now(), n) // a debt: the next frame waits until it is paid
		return excess{}
	}
	if s.Data().bytes.AllowN(r.Limits.Bytes, m.Now(), n) {
		return excess{}
	}
	return excess{bytesLimit, n}
}

// take takes n from the connection's bucket and from those it shares: from all, or
// from none if one of them has too few.
func (m *meter) take(s link, r *loopRoute, n int) limit {
	now := m.Now()
	if !s.Data().messages.AllowN(r.Limits.Messages, now, n) {
		return messagesLimit
	}
	if !m.policy.sharesMessages {
		return within
	}
	limit := m.sharer(s).take(now, n)
	if limit != within {
		s.Data().messages.CancelN(r.Limits.Messages, now, n)
	}
	return limit
}

// owe takes n from the buckets whether it is there or not: mustWait has waited for
// the first, and waits for the rest before the next message is read.
func (m *meter) owe(s link, r *loopRoute, n int) {
	now := m.Now()
	s.Data().messages.DelayN(r.Limits.Messages, now, n)
	if !m.policy.sharesMessages || n == 0 {
		return
	}
	s.Data().facts &^= prepaid
	if n > 1 {
		m.sharer(s).owe(now, n-1)
	}
}

// mustWait holds the connection if its next message may not be read yet, or says how
// it ends if it had to wait too often. The buckets are asked before the message is
// read, so that nothing has to be put back. From a shared one the message is taken
// at once: those that wait get their turns one after the other, instead of all waking
// up for the same.
func (m *meter) mustWait(s link, r *loopRoute) (bool, *CloseError) {
	m.repace(s, r)
	now := m.Now()
	over, wait := excess{messagesLimit, 1}, s.Data().messages.WaitN(r.Limits.Messages, now, 1)
	if !r.Limits.Bytes.Unlimited() {
		if w := s.Data().bytes.WaitN(r.Limits.Bytes, now, 0); w > wait {
			over, wait = excess{bytesLimit, 1}, w
		}
	}
	if m.policy.sharesMessages && !s.Data().facts.has(prepaid) {
		s.Data().facts |= prepaid
		if l, w := m.sharer(s).owe(now, 1); w > wait {
			over, wait = excess{l, 1}, w
		}
	}
	if wait <= 0 {
		return false, nil
	}
	if act, _ := m.consequence(s, r, over); act == Disconnect {
		return true, m.limitClose(s, r, over)
	}
	m.delay(s, wait)
	return true, nil
}

// delay holds the connection for so long.
func (m *meter) delay(s link, wait time.Duration) {
	at := m.Now() + wait
	s.Hold(byDelay)
	s.NeedExtra().resume = at
	s.DueAt(at)
}
