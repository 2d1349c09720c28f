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
	inside uint64       // the dialled connection whose input is passed down, and that has the parser, 0 for none
	lost   lost         // how the client ends whose event it is, if its other side has gone
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

// relayInput is run for what the client of a relay says: no callback of the user's is called, and
// most often nothing is to be done behind it.
func (l *loop) relayInput(s link, r *loopRoute, input []byte) {
	l.owes = 0
	l.reply.begin(s.Token(), nil, l.srv.maxBacklog())
	r.tally.BytesIn += int64(len(input))
	end := l.passUp(s, r, input)
	if end.err == nil && s.State() == stream.Flowing && s.Why() == 0 && l.reply.isEmpty() {
		l.reply.tok = 0
		return
	}
	l.finish(s, r, 0, &end)
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
	end, whole := l.readUp(s, up, r)
	if b := p.Passed(); len(b) > 0 {
		up.Pass(b)
	}
	state, partial := p.Suspend()
	s.Data().frame = state
	l.keepPartial(s, partial, whole)
	if end.err != nil {
		l.dropInput(s) // what is unread, and what has not begun to pass
	}
	switch ok = l.pairs.at(s.Slot()) != 0; {
	case !ok && l.relay.lost.inFrame:
		l.cutShort(s)
		return ending{}
	case !ok && end.err == nil:
		return l.relay.lost.ending
	case !ok:
	case up.Waiting() > 0:
		s.Hold(byPeer)
	}
	return end
}

// readUp has the parser pass what a client may say, until it has to stop, for good if that is in
// end. whole is as for events.
func (l *loop) readUp(s, up link, r *loopRoute) (end ending, whole bool) {
	p, tenure := &l.relay.parser, l.tenures.at(s.Slot())
	for {
		if !r.limited && l.passWhole(s, r, tenure) { // else each is charged
			whole = true
		}
		if p.Unread() == 0 {
			return end, whole
		}
		if r.limited && !p.InFrame() {
			if wait, e := l.meter.mustWaitFor(s, r, p); wait { // what is left is held by Suspend
				return ending{err: e}, whole
			}
		}
		pc := p.Next()
		isData := pc.Kind == frame.FrameEvent || pc.Kind == frame.RestEvent
		switch pc.Kind {
		case frame.NoEvent:
			return end, whole
		case frame.FrameEvent:
			if pc.Opcode != frame.OpContinuation {
				r.tally.MessagesIn++
				tenure.messages++
				s.Data().facts &^= spoiled
			}
		case frame.ErrorEvent:
			if p.InFrame() && !s.Data().facts.has(spoiled) {
				up.Data().facts |= heardHalf
			}
			l.bye = frame.AppendCloseFrame(l.bye[:0], pc.Code, pc.Err.(*frame.ProtocolError).Msg)
			return ending{&CloseError{Code: pc.Code, Err: pc.Err}, l.bye}, whole
		}
		if r.limited {
			if e := l.meter.admitPiece(s, up, r, pc); e != nil {
				return ending{err: e}, whole
			}
		}
		switch {
		case isData && s.Data().facts.has(spoiled):
		case pc.Kind == frame.PongEvent && string(pc.Data) == string(l.srv.relayPing): // it was ours
		case pc.Kind == frame.CloseEvent: // the other server's closes the connection, or its end
			up.Data().facts |= heardClose
			up.SetDue(l.Deadline(l.srv.writeTimeout()))
			p.Pass()
		default:
			p.Pass()
		}
		whole = whole || !p.InMessage()
	}
}

// passWhole has the parser pass what are whole messages, and reports whether there were any.
func (l *loop) passWhole(s link, r *loopRoute, t *tenure) bool {
	n := int64(l.relay.parser.PassWhole())
	if n == 0 {
		return false
	}
	r.tally.MessagesIn += n
	t.messages += n
	s.Data().facts &^= spoiled
	return true
}

// passDown passes on what a server has said.
func (o owner) passDown(up link, b []byte) {
	s, ok := o.pairs.of(o.loop, up)
	if !ok {
		return
	}
	p := &o.relay.parser
	p.Resume(&o.relay.down, up.Data().frame, up.Extra().partial)
	p.Receive(b)
	bye, isBad := o.readDown(s, up)
	o.handDown(s, up)
	state, partial := p.Suspend()
	up.Data().frame = state
	if partial != nil {
		up.NeedExtra().partial = partial
	} else if up.HasExtra() {
		up.Extra().partial = nil
		up.TrimExtra()
	}
	switch {
	case o.pairs.at(up.Slot()) == 0:
		o.leaveUpstream(up)
	case bye != nil:
		o.closeDown(s, up, bye)
	case isBad:
		o.hangUpOn(up)
		o.conclude(s, nil, errUpstreamLost)
	case s.Extra().parting != nil && !o.mustStay(s):
		o.end(s, nil, nil)
	case s.Waiting() > 0:
		up.Hold(byPeer)
	}
}

// readDown has the parser pass what a server may say: all, up to its close frame, or up to where
// the end of the client may come.
func (o owner) readDown(s, up link) (bye *CloseError, isBad bool) {
	p, t := &o.relay.parser, &o.routeOf(s).tally
	for {
		if s.Extra().parting == nil && !up.Data().facts.has(owesText) {
			t.MessagesOut += int64(p.PassWhole())
		}
		if p.Unread() == 0 {
			return nil, false
		}
		pc := p.Next()
		switch pc.Kind {
		case frame.NoEvent:
			return nil, false
		case frame.FrameEvent:
			if pc.Opcode != frame.OpContinuation {
				t.MessagesOut++
			}
		case frame.CloseEvent:
			return &CloseError{Code: pc.Code, Reason: string(pc.Data)}, false // it leaves with the FIN
		case frame.ErrorEvent:
			return nil, true
		}
		p.Pass()
		if up.Data().facts.has(owesText) && !p.InMessage() {
			o.handDown(s, up)
			o.tellUnsaid(s, up)
		}
		if s.Extra().parting != nil && !p.InFrame() && !up.Data().facts.has(owesText) {
			return nil, false
		}
		if up.Data().facts.has(owesPing) && !p.InFrame() {
			o.handDown(s, up)
			o.pingBehind(s, up)
		}
	}
}

// handDown gives a client what was passed, which may be its end.
func (o owner) handDown(s, up link) {
	if b := o.relay.parser.Passed(); len(b) > 0 {
		o.give(s, up, b)
	}
}

// give is handDown of b.
func (o owner) give(s, up link, b []byte) {
	if o.pairs.at(up.Slot()) == 0 {
		return
	}
	o.routeOf(s).tally.BytesOut += int64(len(b))
	o.relay.inside = up.Token()
	s.Pass(b)
	o.relay.inside = 0
}

// closeDown ends both sides with the close frame of the server's, which may be its answer to the
// client's.
func (o owner) closeDown(s, up link, bye *CloseError) {
	o.pairs.part(up)
	echo := bye
	if bye.byPeer = up.Data().facts.has(heardClose); bye.byPeer {
		echo = nil
	}
	o.finishUpstream(up, echo)
	o.end(s, frame.AppendCloseFrame(nil, bye.Code, bye.Reason), bye)
}

// goOnUp lets the client be heard again, since all that it has said has left.
func (o owner) goOnUp(up link) {
	s, ok := o.pairs.of(o.loop, up)
	if !ok || s.Why()&byPeer == 0 || s.Data().facts.state() != open {
		return
	}
	if s.Go(byPeer); s.Why() == 0 {
		o.proceed(s)
	}
}
