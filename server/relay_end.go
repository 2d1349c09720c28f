//go:build linux

package server

import (
	"bytes"
	"context"
	"errors"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
)

// This file is how relays end: what ends on one side ends on the other, in between two frames
// if that can be.

var (
	errTruncated    = errors.New("server: what was relayed ended within a frame")
	errUpstreamLost = &CloseError{Code: frame.StatusBadGateway, Reason: "upstream_lost"}
	errUpstreamShed = &CloseError{Code: frame.StatusTryAgainLater, Reason: "memory"}
	errLifetime     = &CloseError{Code: frame.StatusGoingAway, Reason: "max_lifetime"}
)

// parting is the end of a client that waits for the end of the frame that passes to it, or of the
// message behind which it is to be told something.
type parting struct {
	out []byte // its last bytes, with the close frame
	err *CloseError
}

// lost is how a client ends whose other side has gone in its own event.
type lost struct {
	ending
	inFrame bool
}

// isInFrame reports whether the peer of a connection that is relayed is in the middle of a
// frame, where nothing of ours can be said.
func (l *loop) isInFrame(s link) bool {
	up, ok := l.pairs.of(l, s)
	if ok && l.relay.inside == up.Token() {
		return l.relay.parser.InFrame()
	}
	return ok && up.Extra().partial.InFrame()
}

// isInMessage reports whether the client of a relay is in the middle of a message, where only a
// control frame of ours can be said.
func (l *loop) isInMessage(s link) bool {
	up, ok := l.pairs.of(l, s)
	if ok && l.relay.inside == up.Token() {
		return l.relay.parser.InMessage()
	}
	return ok && up.Extra().partial.InMessage()
}

// mustStay reports whether the end of a connection has to wait for what passes to it.
func (l *loop) mustStay(s link) bool {
	up, ok := l.pairs.of(l, s)
	return ok && (l.isInFrame(s) || up.Data().facts.has(owesText))
}

// hasHalf reports whether a client has begun a frame that passes to the other side.
func hasHalf(s link) bool { return s.Extra().partial.InFrame() && !s.Data().facts.has(spoiled) }

// putOff puts the end of a connection off until the frame is whole that passes to it, or all was
// said that was to be said before, for the write-timeout at most, and reports whether the caller has
// nothing more to do. Meanwhile nothing is read; the first end counts.
func (l *loop) putOff(s link, out []byte, e *CloseError) bool {
	if !l.mustStay(s) {
		return false
	}
	if s.Extra().parting != nil {
		return true
	}
	up, _ := l.pairs.of(l, s)
	if hasHalf(s) {
		up.Data().facts |= heardHalf
	}
	l.dropInput(s)
	s.NeedExtra().parting = &parting{bytes.Clone(out), e}
	s.Data().facts.become(winding)
	s.Hold(byPeer)
	s.Go(byDelay | stream.Turn)
	l.pause(s)
	up.DueBy(l.Deadline(l.srv.writeTimeout()))
	return true
}

// expireUp ends the waiting for a server: for its answer, its close frame, or the end of a frame.
// Without any, the connection has lasted for as long as it may.
func (o owner) expireUp(up link) {
	s, ok := o.pairs.of(o.loop, up)
	if !ok || up.Extra().call != nil || up.Data().facts.has(heardClose) || s.Data().facts.state() != open {
		up.Cut(context.DeadlineExceeded)
		return
	}
	o.conclude(s, nil, errLifetime)
}

// loseUpstream is the end of a connection that was dialled. Its client is told.
func (o owner) loseUpstream(up link, cause error) (keep bool) {
	s, ok := o.pairs.of(o.loop, up)
	if x := up.Extra().call; ok && x != nil {
		switch {
		case s.Extra().question == nil: // it is the client that has gone
		case !x.isSaid:
			o.door.callAnother(s, up, cause)
			return false
		default:
			o.endOfAnswer(s, up, cause)
		}
		ok = false
	}
	how := lost{ending{err: errUpstreamLost}, up.Extra().partial.InFrame()}
	switch {
	case up.Data().facts.has(heardClose): // the client's, which is not answered
		how.err, how.framed = &CloseError{Code: frame.StatusNoStatusRcvd, byPeer: true}, frame.AppendCloseFrame(nil, 0, "")
	case errors.Is(cause, stream.ErrShed):
		how.err = errUpstreamShed
	}
	o.pairs.part(up)
	o.dropUpstream(up)
	switch {
	case !ok:
	case o.reply.tok == s.Token(): // its own event, which looks
		o.relay.lost = how
	case how.inFrame:
		o.cutShort(s)
	case how.framed != nil:
		o.end(s, how.framed, how.err)
	default:
		o.conclude(s, nil, how.err)
	}
	return false
}

// cutShort cuts a client whose frame will never be whole.
func (l *loop) cutShort(s link) {
	l.srv.stats.truncated.Add(1)
	s.Cut(errTruncated)
}

// partUpstream is called when the client of a relay departs.
func (l *loop) partUpstream(s link) {
	up, ok := l.pairs.of(l, s)
	if !ok {
		return
	}
	l.pairs.part(s)
	if hasHalf(s) {
		up.Data().facts |= heardHalf
	}
	if l.relay.inside != up.Token() { // else it looks itself
		l.leaveUpstream(up)
	}
}

// leaveUpstream ends a connection that was dialled, whose client has gone: with 1001, unless it
// is in the middle of a frame, or has the client's own close.
func (l *loop) leaveUpstream(up link) {
	switch {
	case up.Data().facts.has(heardHalf) || up.State() == stream.Dialing || up.State() == stream.Securing:
		l.hangUpOn(up)
	case up.Data().facts.has(heardClose):
		l.finishUpstream(up, nil)
	default:
		l.finishUpstream(up, &CloseError{Code: frame.StatusGoingAway})
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

// hangUpOn ends a connection that was dialled, which nobody is paired with any more.
func (l *loop) hangUpOn(up link) {
	l.pairs.part(up)
	l.dropUpstream(up)
	up.Cut(nil)
}

// dropUpstream gives back what a connection that was dialled had, which is nobody's from now
// on.
func (l *loop) dropUpstream(up link) {
	d := up.Data()
	d.facts.become(over)
	if d.place != 0 {
		defer l.tellEnded(l.routeOf(up), d.ident)
		l.places.Drop(d.place)
		d.place, d.ident = 0, 0
	}
	if up.HasExtra() {
		x := up.Extra()
		l.Buffers.Put(x.head)
		l.Buffers.Put(x.unsaid)
		x.head, x.unsaid, x.call = nil, nil, nil
		l.dropInput(up)
	}
}
