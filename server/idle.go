//go:build linux

package server

import (
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
)

// This file is about peers that say nothing: when they are pinged, and when they are closed
// for not answering.
//
//	0              the last sign of life: input, or bytes that the peer took
//	pingAfter      ±20 %: it is pinged
//	idle-timeout   the end, unless the ping left less than half of it ago
//
// The clock of this is session.last. So that two numbers are enough, a ping that comes late
// sets it back. session.pinged says when it left: bytes that were sent later and taken are a
// sign of life, and that the peer's kernel took the ping itself is none.
//
// What the peer says while something holds up the loop waits in the kernel, and is read before
// a verdict: that time counts.

// pingFrame is a ping without payload.
var pingFrame = frame.AppendFrame(nil, frame.OpPing, nil)

// expireOpen pings a peer that is silent, and closes one that does not answer, that
// does not finish its message, or whose token has expired.
func (o owner) expireOpen(s link) {
	if o.expired(s) {
		return
	}
	o.meter.forgive(s)
	if o.isLate(s) || o.isIdle(s) {
		// What has come is heard before the verdict.
		tok := s.Token()
		s.Read()
		if _, ok := o.Find(tok); !ok || !isFlowing(s) {
			return
		}
	}
	if o.isLate(s) {
		o.conclude(s, nil, &CloseError{Code: frame.StatusPolicyViolation, Reason: "message_timeout"})
		return
	}
	if o.isIdle(s) && o.giveUp(s) {
		return
	}
	if after := o.srv.pingAfter(); after > 0 && s.Data().pinged == 0 {
		o.ping(s, stream.Ticks(after*4/5))
	}
	if isFlowing(s) {
		o.openDeadline(s)
	}
}

// isFlowing reports whether a connection is open and read from.
func isFlowing(s link) bool {
	return s.Data().facts.state() == open && s.State() == stream.Flowing
}

// isIdle reports whether the peer has not answered for the idle-timeout.
func (o owner) isIdle(s link) bool {
	return s.Data().pinged != 0 && o.silence(s) >= stream.Ticks(o.srv.idleTimeout())
}

// silence is for how many ticks the peer has given no sign of life.
func (o owner) silence(s link) uint32 { return s.Data().last.Elapsed(o.Tick()) }

// ping asks a peer that was silent for so many ticks whether it is there.
func (o owner) ping(s link, silence uint32) {
	if o.silence(s) < silence {
		return
	}
	if s.Data().last.Cap(o.Tick(), stream.TakenAgo(s.Progress())); o.silence(s) < silence {
		return
	}
	if o.isInFrame(s) { // of another server's, behind which it is asked: until then another silence begins
		s.Data().last = stream.StartClock(o.Tick())
		up, _ := o.pairs.of(o.loop, s)
		up.Data().facts |= owesPing
		return
	}
	o.notePing(s)
	if o.routeOf(s).Relay != nil {
		o.deliver(s, o.relayPing(), 0)
		return
	}
	o.deliver(s, pingFrame, 0)
}

// relayPing is the ping for a connection that is relayed: its pong is not the other server's.
func (o owner) relayPing() []byte { return frame.AppendFrame(nil, frame.OpPing, o.srv.relayPing) }

// pingBehind asks the client of a relay behind the frame in which it could not be asked.
func (o owner) pingBehind(s, up link) {
	up.Data().facts &^= owesPing
	if o.pairs.at(up.Slot()) == 0 || !isFlowing(s) || s.Data().pinged != 0 {
		return
	}
	o.notePing(s)
	if o.give(s, up, o.relayPing()); o.pairs.at(up.Slot()) != 0 && isFlowing(s) {
		o.openDeadline(s)
	}
}

// pingUnits of what session.pinged counts are the idle-timeout.
const pingUnits = 128

// notePing notes that a ping leaves now. If nobody is idle, it begins another silence.
func (o owner) notePing(s link) {
	d, limit, half := s.Data(), stream.Ticks(o.srv.idleTimeout()), stream.Ticks(o.srv.idleTimeout()/2)
	if limit == 0 {
		d.last = stream.StartClock(o.Tick())
		return
	}
	d.last.Cap(o.Tick(), limit-half)
	d.pinged = uint8(1 + uint64(o.silence(s))*pingUnits/uint64(limit))
}

// tookSince reports whether the peer took something so many ticks ago, and after the ping: that
// left when pinged says, or up to a unit and the time of a pass later.
func (o owner) tookSince(s link, ago uint32) bool {
	const pass = 2
	left := (uint64(s.Data().pinged)*uint64(stream.Ticks(o.srv.idleTimeout()))+pingUnits-1)/pingUnits + pass
	return uint64(ago)+left < uint64(o.silence(s))
}

// giveUp closes a peer that did not answer, and reports whether it did. One that took
// bytes since it was asked is alive. One that has no room for the ping has not been
// asked, and if it takes nothing that is for the write-timeout.
func (o owner) giveUp(s link) bool {
	out := s.Progress()
	if ago := stream.TakenAgo(out); o.tookSince(s, ago) {
		s.Data().last.Cap(o.Tick(), ago)
		s.Data().pinged = 0
		return false
	}
	if out.Unsent > 0 && out.Acked < o.srv.idleTimeout() { // its kernel answers ours
		if limit := o.srv.writeTimeout(); limit > 0 && out.Taken() >= limit {
			s.Cut(stream.ErrWriteTimeout)
			return true
		}
		o.notePing(s) // it leaves now at the earliest
		return false
	}
	o.conclude(s, nil, &CloseError{Code: frame.StatusPolicyViolation, Reason: "idle_timeout"})
	return true
}

// expired closes a connection whose token was good until now, and reports whether
// it did.
func (o owner) expired(s link) bool {
	at := o.srv.users.expiry(s.Data().ident)
	if at.IsZero() || o.wall().Before(at) {
		return false
	}
	o.conclude(s, nil, errTokenExpired)
	return true
}
