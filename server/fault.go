//go:build linux

package server

import (
	"context"
	"errors"
	"runtime/debug"

	"github.com/usher-ws/usher/frame"
)

// This file is what becomes of a loop when code on it panics, or ends its goroutine:
// runtime.Goexit cannot be undone, and a test's FailNow calls it. Of the user's code both
// are the end of its connection, with 1011 or a 500. What has to be done behind a
// callback is deferred, so that it is done in any case; then the poller goes on with the
// rest of the pass on another goroutine. A panic of our own is the end of the connection
// that was dealt with, or if there was none, of the server, by a drain.

// errInternal is the end of a connection that something of ours or the user's failed.
var errInternal = &CloseError{Code: frame.StatusInternalError, Reason: "internal"}

// errExited is what code is taken to have panicked with that has called runtime.Goexit.
var errExited = errors.New("it has called runtime.Goexit")

// guard turns a panic of the user's code into an error, and so into 1011.
func (l *loop) guard(err *error) {
	if p := recover(); p != nil || l.inside {
		*err = l.panicked(p)
	}
}

// panicked logs what was recovered. If that is nothing, the goroutine ends.
func (l *loop) panicked(p any) error {
	l.inside = false
	if p == nil {
		p, l.exited = errExited, true
	}
	e := &panicError{p, debug.Stack()}
	l.logPanic(e)
	return e
}

// survive is deferred by all that the poller calls.
func (l *loop) survive() {
	if !l.underWay {
		return
	}
	p, i := recover(), l.at
	known := l.exited // and done with
	l.underWay, l.inside, l.exited, l.at = false, false, false, 0
	l.busy.Store(0)
	if p == nil {
		l.self.Store(0)
		l.post(l.begin)
	}
	l.poll.Wake() // for the rest of the pass
	if known && p == nil {
		return
	}
	if p == nil {
		p = errExited
	}
	e := &panicError{p, debug.Stack()}
	l.srv.log.error("server: panic on a loop", "panic", p, "stack", string(e.stack))
	if !l.expel(i, e) {
		l.srv.giveUp(e)
	}
}

// expel ends the connection that was dealt with when something went wrong, and reports
// whether it could.
func (l *loop) expel(i uint32, e error) (ok bool) {
	defer func() {
		if p := recover(); p != nil {
			l.srv.log.error("server: panic on a loop", "panic", p, "stack", string(debug.Stack()))
		}
	}()
	if i == 0 {
		return false
	}
	s := l.slab.at(i)
	var out []byte
	if l.reply.tok == l.conn(i, s).token() {
		out = l.reply.end()
	}
	l.reply.tok = 0
	switch s.state {
	case closed:
	case head, pending:
		if x := l.exts.get(s); x.asked != nil {
			l.abandon(l.takeQuestion(s))
		}
		l.said = nil
		l.refuse(i, s, nil, nil, e)
	case open, held:
		l.conclude(i, s, out, errInternal)
		if q := l.exts.get(s).line; q != nil {
			l.endIfDone(i, s, q)
		}
	default:
		l.release(i, s, e)
	}
	return true
}

// post runs f on the loop.
func (l *loop) post(f func()) error {
	return l.poll.Post(func() {
		defer l.survive()
		l.underWay, l.at = true, 0
		f()
		l.underWay = false
	})
}

// giveUp ends a server whose loop has a fault that is no connection's.
func (s *Server) giveUp(e error) {
	s.fault.CompareAndSwap(nil, &e)
	go func() { _ = s.Shutdown(context.Background()) }()
}
