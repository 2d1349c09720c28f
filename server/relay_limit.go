//go:build linux

package server

import "github.com/usher-ws/usher/frame"

// This file is the limits of what is relayed. A message is charged when it begins, and the
// bytes of each frame with its header, before any of it has passed. Once begun it is finished:
// what is over in its middle is owed, and waited for, whatever the route's action is.

// drops reports whether messages over a limit may be left out of what is relayed.
func (r *loopRoute) drops() bool {
	return r.limited && (r.Limits.Over == Warn || r.Limits.Over == Drop)
}

// mustWaitFor is mustWait before the next frame of a relay.
func (m *meter) mustWaitFor(s link, r *loopRoute, p *frame.Relay) (bool, *CloseError) {
	switch {
	case p.InMessage():
		return m.mustPay(s, r), nil
	case m.slows(r):
		return m.mustWait(s, r)
	}
	return false, nil
}

// mustPay holds the connection, in the middle of a message, until the bytes are paid that it
// owes.
func (m *meter) mustPay(s link, r *loopRoute) bool {
	if m.repace(s, r); r.Limits.Bytes.Unlimited() || m.policy.LimitDryRun {
		return false
	}
	wait := s.Data().bytes.WaitN(r.Limits.Bytes, m.Now(), 0)
	if wait <= 0 {
		return false
	}
	r.decided.count(bytesLimit, Delay)
	m.delay(s, wait)
	return true
}

// admitPiece charges for a piece, and says how the connection ends, if it does. If it is of a
// message that is to be left out, the connection is spoiled until the next.
func (m *meter) admitPiece(s, up link, r *loopRoute, pc *frame.Piece) *CloseError {
	cost := m.relay.parser.TakeCost()
	if cost == 0 {
		return nil // the rest of a frame
	}
	m.repace(s, r)
	begins := pc.Kind == frame.FrameEvent && pc.Opcode != frame.OpContinuation
	if !begins && m.relay.parser.InMessage() || pc.Opcode == frame.OpContinuation {
		m.chargeWithin(s, r, cost)
		return nil
	}
	over := excess{}
	if !r.Limits.Bytes.Unlimited() {
		over = m.chargeBytes(s, r, cost)
	}
	if begins {
		if m.slows(r) {
			m.owe(s, r, 1)
		} else if limit := m.take(s, r, 1); limit != within {
			over = excess{limit, 1}
		}
	}
	if over.limit == within || !begins && r.Limits.Over != Disconnect {
		return nil
	}
	return m.exceededPiece(s, up, r, pc, over)
}

// chargeWithin charges bytes in the middle of a message.
func (m *meter) chargeWithin(s link, r *loopRoute, cost int) {
	switch b := &s.Data().bytes; {
	case r.Limits.Bytes.Unlimited():
	case !m.policy.LimitDryRun && !s.Data().facts.has(spoiled):
		b.DelayN(r.Limits.Bytes, m.Now(), cost)
	case !b.AllowN(r.Limits.Bytes, m.Now(), cost) && m.policy.LimitDryRun:
		r.decided.count(bytesLimit, Delay)
	}
}

// exceededPiece carries out the route's action on a limit that a message or a control frame
// exceeds.
func (m *meter) exceededPiece(s, up link, r *loopRoute, pc *frame.Piece, over excess) *CloseError {
	act, tell := m.consequence(s, r, over)
	switch {
	case m.policy.LimitDryRun:
		return nil
	case act == Disconnect, pc.Deflated && up.Data().facts.has(needsAll):
		return m.limitClose(s, r, over)
	case act == Warn && tell:
		m.warn(s, r)
	}
	s.Data().facts |= spoiled
	return nil
}
