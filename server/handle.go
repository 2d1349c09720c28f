//go:build linux

package server

import (
	"runtime/debug"
	"time"

	"github.com/usher-ws/usher/stream"
)

// This file is what a loop's streams tell it: it looks up in the table what is to be done.
// Mail, which carries more, is dispatched in answer.go.

// Opened is stream.Handler's: the request is awaited.
func (l *loop) Opened(s link) {
	s.Data().last = l.Tick()
	s.SetDue(l.Deadline(l.srv.handshakeTimeout()))
	if l.drain.active {
		s.DueBy(l.Deadline(drainSilence))
	}
}

// Input is stream.Handler's.
func (l *loop) Input(s link, b []byte, eof bool) {
	ev := input
	if eof {
		ev = end
	}
	switch table[s.Data().facts.state()][ev].do {
	case readInput:
		l.readInput(s, b)
	case readHead:
		l.door.readHead(s, b)
	case readEarly:
		l.door.readEarly(s, b)
	case forget:
		s.Cut(stream.ErrHangup)
	case withdraw:
		l.door.withdraw(s)
	case hearEnd:
		l.hearEnd(s)
	}
}

// Resume is stream.Handler's.
func (l *loop) Resume(s link) {
	if table[s.Data().facts.state()][resume].do == goOn {
		l.goOn(s)
	}
}

// Due is stream.Handler's.
func (l *loop) Due(s link) {
	switch table[s.Data().facts.state()][due].do {
	case expireHead:
		l.door.expireHead(s)
	case expireAsk:
		l.door.expireAsk(s)
	case expireOpen:
		if s.State() == stream.Held {
			l.expireHeld(s)
			return
		}
		l.expireOpen(s)
	}
}

// Victim is stream.Handler's.
func (l *loop) Victim(s link) {
	switch table[s.Data().facts.state()][victim].do {
	case shed:
		l.shed(s)
	case forget, withdraw:
		l.srv.stats.shed.Add(1)
		s.Cut(stream.ErrShed)
	}
}

// Ended is stream.Handler's.
func (l *loop) Ended(s link, cause error) (keep bool) {
	switch table[s.Data().facts.state()][ended].do {
	case lose:
		return l.lose(s, cause)
	case withdraw:
		l.door.withdraw(s)
	case forget:
		l.door.dropHead(s)
	}
	return false
}

// Late is stream.Handler's.
func (l *loop) Late(d time.Duration) { l.stopClocks(d) }

// Turn is stream.Handler's: what is done beside the connections' events.
func (l *loop) Turn(now time.Duration) (next time.Duration) {
	l.busy.Store(0)
	if l.ID() == 0 && now >= l.tidied+time.Second {
		l.tidied = now
		l.srv.tidy(now)
	}
	return l.drainOn(now)
}

// Failed is stream.Handler's.
func (l *loop) Failed(err error) { l.srv.fail(err) }

// Fault is stream.Handler's. A panic of our own is the end of the connection that was
// dealt with, or if there was none, of the server, by a drain.
func (l *loop) Fault(s link, err error) {
	l.inside = false
	l.busy.Store(0)
	if err == nil {
		return // the user's, and dealt with
	}
	if e, ok := err.(*stream.PanicError); ok {
		l.srv.log.error("server: panic on a loop", "panic", e.Value, "stack", string(e.Stack))
	}
	if s.IsZero() || !l.expel(s, err) {
		l.srv.giveUp(err)
	}
}

// expel ends the connection that was dealt with when something went wrong, and reports
// whether it could.
func (l *loop) expel(s link, cause error) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			l.srv.log.error("server: panic on a loop", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	if s.State() == stream.Free {
		return true
	}
	var out []byte
	if l.reply.tok == s.Token() {
		out = l.reply.end()
	}
	l.reply.tok = 0
	switch s.Data().facts.state() {
	case head, asked:
		if s.Extra().question != nil {
			l.door.abandon(l.door.takeQuestion(s))
		}
		l.door.refuse(s, nil, nil, cause)
	case open, winding:
		if s.State() != stream.Gone {
			l.conclude(s, out, errInternal)
		}
		if q := s.Extra().line; q != nil {
			l.windUp(s, q)
		}
	default:
		s.Cut(cause)
	}
	return true
}
