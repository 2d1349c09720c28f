//go:build linux

package server

import (
	"errors"

	"github.com/usher-ws/usher/frame"
)

// call calls the user's code about an open connection, and returns how that ends it, if it
// does.
func (l *loop) call(r *loopRoute, c Conn, f func() error) *CloseError {
	return l.closeErrorFor(c, r, l.try(f))
}

// rescue turns a panic of the user's code into the end of the connection.
func (l *loop) rescue(c Conn, r *loopRoute, end *ending) {
	if p := recover(); p != nil || l.inside {
		*end = ending{err: l.closeErrorFor(c, r, l.panicked(p))}
	}
}

// closeErrorFor is how the user's error ends a connection: as it says, or with
// 1011 and a line in the log. After Conn.Close it is too late to say anything.
func (l *loop) closeErrorFor(c Conn, r *loopRoute, err error) (end *CloseError) {
	if err == nil || l.Generation(c.slot)&closeAsked != 0 {
		return nil
	}
	defer func() {
		if p := recover(); p != nil { // the error's own methods
			end = &CloseError{Code: frame.StatusInternalError, Reason: "internal", Err: l.panicked(p)}
		}
	}()
	var e *CloseError
	var p *panicError
	switch {
	case errors.As(err, &e) && e != nil && e.Code.Sendable():
		return e
	case errors.Is(err, ErrBacklog) && (l.reply.full > 0 || !l.CanTell()): // without a self the mailbox has refused it
		if r.Overflow == DropNewest {
			return nil
		}
		return errBacklogClose
	case !errors.As(err, &p): // a panic has been logged, with its stack
		l.srv.log.error("server: a handler failed", "route", r.pattern.String(), "err", err)
	}
	return &CloseError{Code: frame.StatusInternalError, Reason: "internal", Err: err}
}
