//go:build linux

package server

import (
	"context"
	"io"
	"runtime/debug"
	"time"

	"github.com/usher-ws/usher/stream"
)

// This file is what a loop's streams tell it: it looks up in the table what is to be done.
// Mail, which carries more, is dispatched in answer.go, and Secured is in tls.go.

// owner is a loop as its streams see it: a stream.Handler.
type owner struct{ *loop }

// Opened is stream.Handler's: the request is awaited.
func (o owner) Opened(s link) {
	if s.Data().facts.state() == called {
		o.request(s)
		return
	}
	s.Data().last = stream.StartClock(o.Ran())
	o.door.await(s)
}

// Input is stream.Handler's. A request whose peer has hung up is not answered: nobody would
// hear it, and the kernel does not know its address any more, by which it is limited. What
// was said on an open connection is heard first.
func (o owner) Input(s link, b []byte, eof bool) {
	st, ev := s.Data().facts.state(), input
	if eof || s.HungUp() && st <= queued {
		ev = end
	}
	switch table[st][ev].do {
	case readInput:
		o.readInput(s, b)
	case readHead:
		o.door.readHead(s, b)
	case readEarly:
		o.door.readEarly(s, b)
	case gather:
		o.door.gather(s, b)
	case feed:
		o.door.feed(s, b)
	case noteEnd:
		o.door.noteEnd(s)
	case forget:
		s.Cut(stream.ErrHangup)
	case withdraw:
		o.door.withdraw(s)
	case hearEnd:
		o.hearEnd(s)
	case hearUpstream:
		o.hearUpstream(s, b)
	case abandonUp:
		s.Cut(io.EOF)
	}
}

// Resume is stream.Handler's.
func (o owner) Resume(s link) {
	switch table[s.Data().facts.state()][resume].do {
	case goOn:
		o.goOn(s)
	case utter:
		o.door.utter(s)
	case goOnUp:
		o.goOnUp(s)
	}
}

// Due is stream.Handler's.
func (o owner) Due(s link) {
	switch table[s.Data().facts.state()][due].do {
	case expireHead:
		o.door.expireHead(s)
	case expireAsk:
		o.door.expireAsk(s)
	case expireQueued:
		o.door.expireQueued(s)
	case expireOpen:
		if s.State() == stream.Held {
			o.expireHeld(s)
			return
		}
		o.expireOpen(s)
	case expireUp:
		o.expireUp(s)
	}
}

// Victim is stream.Handler's.
func (o owner) Victim(s link) {
	switch table[s.Data().facts.state()][victim].do {
	case shed:
		o.shed(s)
	case forget, withdraw, abandonUp:
		o.srv.stats.shed.Add(1)
		s.Cut(stream.ErrShed)
	}
}

// Ended is stream.Handler's.
func (o owner) Ended(s link, cause error) (keep bool) {
	if s.AwaitsHeader() {
		o.noteHeader(s, cause)
	} else if o.srv.speaksTLS(s) {
		o.noteTLS(s, cause)
	}
	switch table[s.Data().facts.state()][ended].do {
	case lose:
		return o.lose(s, cause)
	case withdraw:
		o.door.withdraw(s)
	case part:
		o.door.part(s, cause)
	case loseUpstream:
		o.loseUpstream(s, cause)
	case forget:
		o.door.dropHead(s)
	}
	return false
}

// Turn is stream.Handler's: what there is to do beside the connections' events.
func (o owner) Turn(now time.Duration) (next time.Duration) {
	o.busy.Store(0)
	o.door.answered = 0
	if o.ID() == 0 && now >= o.tidied+time.Second {
		o.tidied = now
		o.srv.tidy(now)
	}
	o.weighTables()
	return o.drain.goOn(now)
}

// Failed is stream.Handler's.
func (o owner) Failed(err error) { o.srv.fail(err) }

// Fault is stream.Handler's. A panic of our own is the end of the connection that was
// dealt with, or if there was none, of the server, by a drain.
func (o owner) Fault(s link, err error) {
	o.inside, o.departing, o.owes, o.relay.inside = false, 0, 0, 0
	o.busy.Store(0)
	if err == nil {
		return // the user's, and dealt with
	}
	if e, ok := err.(*stream.PanicError); ok {
		o.srv.log.error("server: panic on a loop", "panic", e.Value, "stack", string(e.Stack))
	}
	if s.IsZero() || !o.expel(s, err) {
		o.srv.giveUp(err)
	}
}

// expel ends the connection that was dealt with when something went wrong, and reports
// whether it could.
func (o owner) expel(s link, cause error) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			o.srv.log.error("server: panic on a loop", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	if s.State() == stream.Free {
		return true
	}
	var out []byte
	if o.reply.tok == s.Token() {
		if out, _ = o.reply.end(); o.isInMessage(s) {
			out = nil
		}
	}
	o.reply.tok = 0
	switch s.Data().facts.state() {
	case head, asked, queued:
		if s.Extra().question != nil {
			o.door.abandon(o.door.takeQuestion(s))
		}
		if s.Extra().exchange != nil {
			o.door.dropInput(o.door.takeExchange(s, cause))
		}
		o.door.refuse(s, nil, nil, cause)
	case open, winding:
		if s.State() != stream.Gone {
			o.conclude(s, out, errInternal)
		}
		if q := s.Extra().line; q != nil {
			o.jobs.windUp(s, q)
		}
	default:
		s.Cut(cause)
	}
	return true
}

// giveUp ends a server whose loop has a fault that is no connection's.
func (s *Server) giveUp(e error) {
	s.fault.CompareAndSwap(nil, &e)
	go func() { _ = s.Shutdown(context.Background()) }()
}
