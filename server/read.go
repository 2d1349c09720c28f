//go:build linux

package server

import (
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
)

// A turn: what is handled of one connection before the others have theirs. It is so many
// frames, or messages of so many bytes together and one more; the second bound is for
// messages that came compressed.
const (
	framesPerTurn = 256
	bytesPerTurn  = 256 << 10
)

// readInput handles what was read.
func (l *loop) readInput(s link, b []byte) {
	d := s.Data()
	d.last = stream.StartClock(l.Tick())
	if d.pinged != 0 {
		d.pinged = 0
		l.openDeadline(s)
	}
	if r := l.routeOf(s); r.Relay != nil && s.Why() == 0 && !d.facts.has(owesWritable) {
		l.relayInput(s, r, b)
		return
	}
	l.run(s, nil, b)
}

// ending is why handling input stops for good: err is told to Close, and framed is
// the close frame, if the protocol has chosen one; else it says what err does.
type ending struct {
	err    *CloseError
	framed []byte
}

// run is one event of an open connection: greeting and Open if it is the first,
// then the messages in the input and in the tail that was held, and all that is
// said meanwhile in one send.
func (l *loop) run(s link, greeting, input []byte) {
	c, r := l.conn(s), l.routeOf(s)
	l.enter(r)
	l.owes = 0
	l.reply.begin(c.token(), greeting, l.srv.maxBacklog())
	end := ending{err: errInternal} // unless it goes on
	defer l.finish(s, r, len(greeting), &end)
	var err *CloseError
	if greeting != nil {
		err = l.call(r, c, func() error { return r.open(c) })
	} else if f := &s.Data().facts; f.has(owesWritable) {
		*f &^= owesWritable
		if r.Writable != nil {
			err = l.call(r, c, func() error { r.Writable(c); return nil })
		}
	}
	if end.err = err; err == nil && s.Why() == 0 {
		r.tally.BytesIn += int64(len(input))
		l.handleInput(c, s, r, input, &end)
	}
}

// visit is an event of an open connection that is a call of f, see Conn.Run. It may come
// while bytes wait, which then take of the room for what f says.
func (l *loop) visit(s link, f func(Conn)) {
	c, r := l.conn(s), l.routeOf(s)
	l.enter(r)
	l.owes = 0
	l.reply.begin(c.token(), nil, l.srv.maxBacklog())
	l.reply.behind = l.waiting(s)
	end := ending{err: errInternal} // unless it goes on
	defer l.finish(s, r, 0, &end)
	end.err = l.call(r, c, func() error { f(c); return nil })
}

// finish ends run, also if a callback has ended the goroutine: greeting is the length of
// what was said that is no frame.
func (l *loop) finish(s link, r *loopRoute, greeting int, why *ending) {
	c, end := l.conn(s), *why
	out, parts := l.reply.end()
	r.tally.MessagesOut += l.reply.said
	r.tally.BytesOut -= int64(greeting)
	if l.reply.full > 0 {
		end = l.refused(c, s, r, end)
		l.reply.full = 0
	}
	if end.err == errBacklogClose {
		l.srv.stats.slow.Add(1)
	}
	if end.err != nil && end.framed == nil {
		end.framed = frame.AppendCloseFrame(l.bye[:0], end.err.Code, end.err.Reason)
		l.bye = end.framed
	}
	if end.err != nil && s.Extra().line == nil && l.concerns(c.token()) && l.mail.closeWith(c, end.err, end.framed) == nil {
		end.err = nil // what was said before the end is in the lane: the close goes behind it
	}
	if r.Relay != nil && greeting == 0 && len(out) > 0 {
		if l.tell(s, out); !s.Data().facts.isUsers() {
			return // it has ended by that
		}
		out, parts = nil, nil
	}
	if end.err == nil || s.Extra().line != nil { // with jobs it ends when they are done: what was said need not wait
		r.tally.BytesOut += int64(len(out))
		if l.owes > 0 {
			l.holdBack(s)
		}
		l.transmit(s, out, parts...)
		if end.err == nil || !s.Data().facts.isUsers() { // it may have ended by that, and its slot be free
			return
		}
		out = nil
	}
	l.end(s, append(out, end.framed...), end.err)
}

// refused does what the route says about answers that were too many.
func (l *loop) refused(c Conn, s link, r *loopRoute, end ending) ending {
	if r.Overflow == DropNewest {
		r.tally.Dropped += l.reply.full
		if r.Writable != nil {
			s.Data().facts |= owesWritable
			s.Yield()
		}
	} else if end.err == nil {
		end.err = errBacklogClose
	}
	return end
}

// handleInput lets the protocol read input, and handles its events.
func (l *loop) handleInput(c Conn, s link, r *loopRoute, input []byte, end *ending) {
	if r.Relay != nil {
		*end = l.passUp(s, r, input)
		return
	}
	p := &l.proto
	p.Resume(&r.frame, s.Data().frame, s.Extra().partial)
	p.Receive(input)
	whole := false
	defer func() {
		state, partial := p.Suspend()
		s.Data().frame = state
		l.keepPartial(s, partial, whole)
	}()
	defer l.rescue(c, r, end)
	l.inside = true
	*end, whole = l.events(c, s, r, p)
	l.inside = false
}

// events handles the events that are in the input, as long as the connection may
// go on. whole says that a message has ended, or a control frame outside of one: what is
// left began behind it. Every frame is an event. A panic of the user's code is
// caught by handleInput, once for all of them: to catch it for each message would cost as
// much as the reading.
func (l *loop) events(c Conn, s link, r *loopRoute, p *frame.Protocol) (end ending, whole bool) {
	tenure := l.tenures.at(s.Slot())
	for frames, bytes := 0, 0; frames < framesPerTurn && bytes < bytesPerTurn; frames++ {
		if l.owes > 0 {
			l.holdBack(s)
		}
		if s.Generation()&closeAsked != 0 || s.Why()&(byJobs|byMail) != 0 {
			return end, whole // the rest is not wanted any more, or not yet
		}
		if l.meter.slows(r) && p.Unread() > 0 {
			if wait, e := l.meter.mustWait(s, r); wait {
				return ending{err: e}, whole
			}
		}
		ev := p.NextEvent()
		if isWhole(ev) {
			r.tally.MessagesIn++
			tenure.messages++
		}
		dropped := false
		if r.limited {
			if dropped, end.err = l.meter.admit(c, s, r, p, ev); end.err != nil {
				return end, whole
			}
		}
		switch ev.Kind {
		case frame.NoEvent:
			return end, whole
		case frame.PongEvent, frame.FragmentEvent:
			whole = whole || !p.InMessage()
		case frame.MessageEvent, frame.DeflatedEvent:
			whole = true
			bytes += len(ev.Data)
			if dropped {
				continue
			}
			if err := r.message(c, Message{ev.Opcode, ev.Data}); err != nil {
				if end.err = l.closeErrorFor(c, r, err); end.err != nil {
					return end, whole
				}
			}
		case frame.PingEvent:
			whole = whole || !p.InMessage()
			l.answerPing(c, ev.Data)
		case frame.CloseEvent, frame.ErrorEvent:
			l.bye = p.AppendReply(l.bye[:0], ev)
			return ending{err: closeErrorOf(ev), framed: l.bye}, whole
		}
	}
	if p.Unread() > 0 {
		s.Yield()
	}
	return end, whole
}

// closeErrorOf is what the peer did to end the connection.
func closeErrorOf(ev *frame.Event) *CloseError {
	if ev.Kind == frame.CloseEvent {
		return &CloseError{Code: ev.Code, Reason: string(ev.Data), byPeer: true}
	}
	return &CloseError{Code: ev.Code, Err: ev.Err}
}
