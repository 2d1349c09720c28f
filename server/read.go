//go:build linux

package server

import (
	"errors"
	"io"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/poller"
	"golang.org/x/sys/unix"
)

// What is handled of one connection before the others get their turn: so many
// frames, or messages of so many bytes together and one more. The second is for
// those that were small when they came compressed.
const (
	framesPerTurn = 256
	bytesPerTurn  = 256 << 10
)

// readInput reads once and handles what came.
func (l *loop) readInput(i uint32, s *slot) {
	n, errno := l.recv(s)
	if n == 0 {
		switch errno {
		case unix.EAGAIN:
			if s.flags&owesDrain != 0 {
				l.run(i, s, nil, nil)
			}
		case 0:
			if !l.afterJobs(i, s, func(i uint32, s *slot) { l.release(i, s, io.EOF) }) {
				l.release(i, s, io.EOF)
			}
		default:
			l.release(i, s, errno)
		}
		return
	}
	s.last = l.tick
	if s.pinged != 0 {
		s.pinged = 0
		l.openDeadline(i, s)
	}
	l.run(i, s, nil, l.buf[:n])
}

// recv reads once into l.buf. A read that fills it may have left something.
func (l *loop) recv(s *slot) (int, unix.Errno) {
	n, errno := poller.Recv(int(s.fd), l.buf)
	l.left = n == len(l.buf)
	return n, errno
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
func (l *loop) run(i uint32, s *slot, greeting, input []byte) {
	c, r := l.conn(i, s), l.routeOf(s)
	l.enter(r)
	l.reply.begin(c.token(), greeting, l.srv.maxBacklog())
	var end ending
	if greeting != nil {
		end.err = l.callOpen(r, c)
	} else if s.flags&owesDrain != 0 {
		s.flags &^= owesDrain
		end.err = l.callDrain(r, c)
	}
	if end.err == nil && s.why == 0 {
		r.tally.BytesIn += int64(len(input))
		end = l.handleInput(c, s, r, input)
	}
	out := l.reply.end()
	r.tally.MessagesOut += l.reply.said
	r.tally.BytesOut -= int64(len(greeting)) // which is no frame
	if l.reply.full > 0 {
		end = l.refused(c, s, r, end)
		l.reply.full = 0
	}
	if end.err == errBacklogClose {
		l.srv.stats.slow.Add(1)
	}
	if end.err == nil {
		r.tally.BytesOut += int64(len(out))
		l.transmit(i, s, out)
		return
	}
	if end.framed == nil {
		l.bye = frame.AppendCloseFrame(l.bye[:0], end.err.Code, end.err.Reason)
		end.framed = l.bye
	}
	switch hasJobs := l.exts.get(s).line != nil; {
	case hasJobs: // it ends when they are done: what was said need not wait for them
		r.tally.BytesOut += int64(len(out))
		if l.transmit(i, s, out); s.state == closed {
			return
		}
		out = nil
	case l.mail.queued.Load() && l.mail.closeWith(c, end.err, end.framed) == nil:
		// What was said before the end is in the lane: the close goes behind it.
		r.tally.BytesOut += int64(len(out))
		l.transmit(i, s, out)
		return
	}
	l.end(i, s, append(out, end.framed...), end.err)
}

// refused does what the route says about answers that were too many.
func (l *loop) refused(c Conn, s *slot, r *loopRoute, end ending) ending {
	if r.Overflow == DropNewest {
		r.tally.Dropped += l.reply.full
		if r.Drain != nil {
			s.flags |= owesDrain
			l.waitTurn(c, s)
		}
	} else if end.err == nil {
		end.err = errBacklogClose
	}
	return end
}

// handleInput lets the protocol read input, and handles its events.
func (l *loop) handleInput(c Conn, s *slot, r *loopRoute, input []byte) ending {
	p := &l.proto
	p.Resume(&r.frame, s.frame, l.exts.get(s).partial)
	p.Receive(input)
	l.pinged = false
	end, whole := l.events(c, s, r, p)
	l.answerPing()
	state, partial := p.Suspend()
	s.frame = state
	l.keepPartial(c.slot, s, partial, whole)
	return end
}

// events handles the events that are in the input, as long as the connection may
// go on. Every frame is an event. What the user's code panics with is caught here,
// once for all of them: for each message it would cost as much as the reading. whole
// says that a message has ended, or a control frame outside of one: what is left began
// behind it.
func (l *loop) events(c Conn, s *slot, r *loopRoute, p *frame.Protocol) (end ending, whole bool) {
	defer l.rescue(c, r, &end)
	for frames, bytes := 0, 0; frames < framesPerTurn && bytes < bytesPerTurn; frames++ {
		if s.gen.Load()&closeAsked != 0 || s.why&byJobs != 0 {
			return end, whole // the rest is not wanted any more, or not yet
		}
		if l.slows(r) && p.Unread() > 0 {
			if wait, e := l.mustWait(c, s, r); wait {
				return ending{err: e}, whole
			}
		}
		ev := p.NextEvent()
		if ev.Kind == frame.MessageEvent {
			r.tally.MessagesIn++
		}
		var over excess
		if r.limited {
			if over = l.charge(s, r, p, ev.Kind, Message{ev.Opcode, ev.Data}); over.limit != within {
				if end.err = l.exceeded(c, s, r, ev.Kind, over); end.err != nil {
					return end, whole
				}
			}
		}
		switch ev.Kind {
		case frame.NoEvent:
			return end, whole
		case frame.PongEvent, frame.FragmentEvent:
			whole = whole || !p.InMessage()
		case frame.MessageEvent:
			whole = true
			bytes += len(ev.Data)
			if over.limit != within && !l.srv.LimitDryRun {
				continue // it is dropped
			}
			if err := r.message(c, Message{ev.Opcode, ev.Data}); err != nil {
				if end.err = l.closeErrorFor(c, r, err); end.err != nil {
					return end, whole
				}
			}
		case frame.PingEvent:
			whole = whole || !p.InMessage()
			l.pinged = true
			l.pongLen = copy(l.pong[:], ev.Data)
		case frame.CloseEvent, frame.ErrorEvent:
			l.bye = p.AppendReply(l.bye[:0], ev)
			return ending{err: closeErrorOf(ev), framed: l.bye}, whole
		}
	}
	if p.Unread() > 0 {
		l.waitTurn(c, s)
	}
	return end, whole
}

// waitTurn holds a connection until the others have had their turn.
func (l *loop) waitTurn(c Conn, s *slot) {
	if s.why&byTurn == 0 {
		s.why |= byTurn
		l.turns = append(l.turns, c.token())
	}
}

// answerPing answers the latest ping of this read, RFC 6455 §5.5.3.
func (l *loop) answerPing() {
	if l.pinged {
		l.reply.b = frame.AppendFrame(l.reply.b, frame.OpPong, l.pong[:l.pongLen])
		l.pinged = false
	}
}

// closeErrorOf is what the peer did to end the connection.
func closeErrorOf(ev *frame.Event) *CloseError {
	if ev.Kind == frame.CloseEvent {
		return &CloseError{Code: ev.Code, Reason: string(ev.Data), byPeer: true}
	}
	return &CloseError{Code: ev.Code, Err: ev.Err}
}

// keepPartial stores what straddles reads. If that is a message that has begun, its
// clock runs from its first byte.
func (l *loop) keepPartial(i uint32, s *slot, partial *frame.Partial, whole bool) {
	if partial == nil {
		if s.ext != 0 {
			x := l.exts.get(s)
			x.partial, x.since, x.paused = nil, 0, 0
			l.exts.trim(s)
		}
		return
	}
	x := l.exts.need(s)
	x.partial = partial
	if x.since == 0 || whole {
		x.since = l.tick + 1
		l.dueBy(i, l.messageEnd(s))
	}
}

// stopMessage stops the clock of the message under way: it is we who do not read. To
// wait for one's turn is to be read.
func (l *loop) stopMessage(s *slot) {
	if s.ext == 0 || s.why&^byTurn == 0 {
		return
	}
	if x := l.exts.get(s); x.since != 0 && x.paused == 0 {
		x.paused = l.tick + 1
	}
}

// resume lets a connection that was held go on as far as it may, and reports whether
// that was anything. One that is owed a Drain is read from, too: it may be owed the next
// as soon as it had this one, and must not get deaf of it.
func (l *loop) resume(i uint32, s *slot) bool {
	owed := s.flags&owesDrain != 0 && l.routeOf(s).Drain != nil && s.why&byBacklog == 0 && s.gen.Load()&closeAsked == 0
	switch {
	case s.why != 0 && !owed:
		return false
	case owed && s.why == 0 && l.exts.get(s).partial == nil:
		l.reopen(i, s)
		l.readInput(i, s)
	default:
		l.proceed(i, s)
	}
	return true
}

// proceed lets a connection that was held go on with the tail it had to keep.
func (l *loop) proceed(i uint32, s *slot) {
	l.reopen(i, s)
	l.run(i, s, nil, nil)
}

// reopen ends the holding of a connection. What comes next has to settle it.
func (l *loop) reopen(i uint32, s *slot) {
	s.state, s.last, s.pinged = open, l.tick, 0
	if s.ext != 0 {
		if x := l.exts.get(s); x.paused != 0 {
			x.since += l.tick + 1 - x.paused
			x.paused = 0
		}
	}
	l.openDeadline(i, s)
}

// takeTurns lets those go on that had used up their turn in an earlier pass.
func (l *loop) takeTurns() {
	waiting := l.turns
	l.turns = append(l.spareTurns[:0], waiting[l.ripe:]...)
	for _, tok := range waiting[:l.ripe] {
		i, s := l.slab.find(tok)
		if s == nil || s.state != held {
			continue
		}
		s.why &^= byTurn
		l.resume(i, s)
	}
	l.spareTurns, l.ripe = waiting, 0
}

func (l *loop) callOpen(r *loopRoute, c Conn) *CloseError {
	return l.closeErrorFor(c, r, func() (err error) {
		defer l.guard(&err)
		return r.open(c)
	}())
}

func (l *loop) callDrain(r *loopRoute, c Conn) *CloseError {
	if r.Drain == nil {
		return nil
	}
	return l.closeErrorFor(c, r, func() (err error) {
		defer l.guard(&err)
		r.Drain(c)
		return nil
	}())
}

// rescue turns a panic of the user's code into the end of the connection.
func (l *loop) rescue(c Conn, r *loopRoute, end *ending) {
	if p := recover(); p != nil {
		end.err = l.closeErrorFor(c, r, l.panicked(p))
	}
}

// closeErrorFor is how the user's error ends a connection: as it says, or with
// 1011 and a line in the log. After Conn.Close it is too late to say anything.
func (l *loop) closeErrorFor(c Conn, r *loopRoute, err error) *CloseError {
	if err == nil || l.slab.at(c.slot).gen.Load()&closeAsked != 0 {
		return nil
	}
	var e *CloseError
	var p *panicError
	switch {
	case errors.As(err, &e) && e.Code.Sendable():
		return e
	case errors.Is(err, ErrBacklog) && (l.reply.full > 0 || l.self == 0): // without a self the mailbox has refused it
		if r.Overflow == DropNewest {
			return nil
		}
		return errBacklogClose
	case !errors.As(err, &p): // a panic has been logged, with its stack
		l.srv.log.error("server: a handler failed", "route", r.pattern, "err", err)
	}
	return &CloseError{Code: frame.StatusInternalError, Reason: "internal", Err: err}
}
