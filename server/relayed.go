//go:build linux

package server

import (
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
)

// This file is what flows between the two connections of a relay.

// relaying is the memory that relays use in turn.
type relaying struct {
	parser frame.Relay
	down   frame.Config // of what servers say
	up     frame.Config // of the close frames that we say to them
	inside uint64       // the dialled connection whose input is passed down, 0 for none
}

// pairs are the slots of those that a connection is paired with. Both are of one loop and end
// together, so that a slot says enough.
type pairs struct{ perSlot[uint32] }

func (t *pairs) join(s, up link) {
	t.set(s.Slot(), up.Slot())
	t.set(up.Slot(), s.Slot())
}

// part ends a pair.
func (t *pairs) part(s link) {
	if other := t.at(s.Slot()); other != 0 {
		t.set(s.Slot(), 0)
		t.set(other, 0)
	}
}

// of returns the other one of a pair.
func (t *pairs) of(l *loop, s link) (other link, ok bool) {
	slot := t.at(s.Slot())
	if slot == 0 {
		return link{}, false
	}
	return l.At(slot), true
}

// passUp passes on what a client has said.
func (l *loop) passUp(s link, r *loopRoute, input []byte) (end ending) {
	up, ok := l.pairs.of(l, s)
	if !ok {
		return ending{err: errUpstreamLost}
	}
	p := &l.relay.parser
	p.Resume(&r.frame, s.Data().frame, s.Extra().partial)
	p.Receive(input)
	end, isOver, whole := l.readUp(s, up, r)
	up.Pass(p.Passed())
	state, partial := p.Suspend()
	s.Data().frame = state
	l.keepPartial(s, partial, whole)
	switch _, ok = l.pairs.of(l, s); {
	case !ok && end.err == nil:
		end.err = errUpstreamLost
	case ok && end.err != nil: // a frame that is over the limit has not begun to pass
		l.pairs.part(s)
		l.leaveUpstream(up, !isOver && partial.InFrame())
	case ok && up.Waiting() > 0:
		s.Hold(byPeer)
	}
	return end
}

// readUp has the parser pass what a client may say, until it has to stop: that is in end, if it
// is for good, and isOver says that it is for a limit. whole is as for events.
func (l *loop) readUp(s, up link, r *loopRoute) (end ending, isOver, whole bool) {
	p, tenure := &l.relay.parser, l.tenures.at(s.Slot())
	for {
		if l.meter.slows(r) && p.Unread() > 0 && !p.InMessage() {
			if wait, e := l.meter.mustWait(s, r); wait { // what is left is held by Suspend
				return ending{err: e}, e != nil, whole
			}
		}
		pc := p.Next()
		if pc.Kind == frame.NoEvent {
			return end, false, whole
		}
		if r.limited {
			if e := l.meter.admitPiece(s, r, pc, p.TakeCost()); e != nil {
				return ending{err: e}, true, whole
			}
		}
		switch pc.Kind {
		case frame.FrameEvent:
			if pc.Opcode != frame.OpContinuation {
				r.tally.MessagesIn++
				tenure.messages++
			}
		case frame.PongEvent:
			if string(pc.Data) == string(l.srv.relayPing) {
				continue // it was ours
			}
		case frame.CloseEvent: // the other server's closes the connection, or its end
			up.SetDue(l.Deadline(l.srv.writeTimeout()))
		case frame.ErrorEvent:
			l.bye = frame.AppendCloseFrame(l.bye[:0], pc.Code, pc.Err.(*frame.ProtocolError).Msg)
			end = ending{&CloseError{Code: pc.Code, Err: pc.Err}, l.bye}
		}
		whole = whole || !p.InMessage()
		p.Pass()
	}
}

// passDown passes on what a server has said.
func (o owner) passDown(up link, b []byte) {
	s, ok := o.pairs.of(o.loop, up)
	if !ok {
		return
	}
	p, t := &o.relay.parser, &o.routeOf(s).tally
	var bye *CloseError
	isBad := false
	p.Resume(&o.relay.down, up.Data().frame, up.Extra().partial)
	p.Receive(b)
	for pc := p.Next(); pc.Kind != frame.NoEvent; pc = p.Next() {
		switch pc.Kind {
		case frame.FrameEvent:
			if pc.Opcode != frame.OpContinuation {
				t.MessagesOut++
			}
		case frame.CloseEvent:
			bye = &CloseError{Code: pc.Code, Reason: string(pc.Data)}
			continue // it leaves with the FIN
		case frame.ErrorEvent:
			isBad = true
		}
		p.Pass()
	}
	out := p.Passed()
	t.BytesOut += int64(len(out))
	o.relay.inside = up.Token()
	s.Pass(out)
	o.relay.inside = 0
	state, partial := p.Suspend()
	up.Data().frame = state
	if partial != nil {
		up.NeedExtra().partial = partial
	} else if up.HasExtra() {
		up.Extra().partial = nil
		up.TrimExtra()
	}
	switch _, ok = o.pairs.of(o.loop, up); {
	case !ok:
		o.leaveUpstream(up, false)
	case bye != nil:
		o.pairs.part(up)
		echo := bye
		if bye.byPeer = s.Data().frame.Done(); bye.byPeer { // it is the answer to the client's
			echo = nil
		}
		o.finishUpstream(up, echo)
		o.end(s, frame.AppendCloseFrame(nil, bye.Code, bye.Reason), bye)
	case isBad:
		o.hangUpOn(up)
		o.conclude(s, nil, errUpstreamLost)
	case s.Waiting() > 0:
		up.Hold(byPeer)
	}
}

// finishUpstream ends a connection that was dialled and is in no pair any more, with a close
// frame that tells e, or none.
func (l *loop) finishUpstream(up link, e *CloseError) {
	l.dropUpstream(up)
	var out []byte
	if e != nil {
		out = l.relay.up.AppendCloseFrame(nil, e.Code, e.Reason)
	}
	up.Finish(out)
}

// leaveUpstream ends a connection that was dialled, whose client has gone: within a frame, of
// which the rest will not come, or not.
func (l *loop) leaveUpstream(up link, inFrame bool) {
	if inFrame || up.State() == stream.Dialing || up.State() == stream.Securing {
		l.hangUpOn(up)
		return
	}
	l.finishUpstream(up, &CloseError{Code: frame.StatusGoingAway})
}

// partUpstream is called when the client of a relay departs.
func (l *loop) partUpstream(s link) {
	up, ok := l.pairs.of(l, s)
	if !ok {
		return
	}
	l.pairs.part(s)
	switch {
	case l.relay.inside == up.Token(): // it looks itself
	case s.Data().frame.Done(): // the client's close has passed
		l.finishUpstream(up, nil)
	default:
		l.leaveUpstream(up, s.Extra().partial.InFrame())
	}
}

// isInFrame reports whether the peer of a connection that is relayed is in the middle of a
// frame, where nothing of ours can be said.
func (l *loop) isInFrame(s link) bool {
	up, ok := l.pairs.of(l, s)
	return ok && up.Extra().partial.InFrame()
}
