//go:build linux

package server

import (
	"errors"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
	"github.com/usher-ws/usher/upgrade"
)

// seat opens a connection: response, what Open says and the answers to early leave
// together. kept is the connection's Data.
func (l *loop) seat(s link, place uint32, q quota, r *upgrade.Request, kept any, response, early []byte) {
	d := s.Data()
	d.facts.become(open)
	d.place, d.last = place, l.Tick()
	d.ident = l.identities.find(r.Identity)
	t := &l.routeOf(s).tally
	t.Opened++
	t.Conns++
	if w := frame.Window(r.Deflate()); w != 0 {
		d.frame = frame.NewState(w)
		s.Mark(uint32(w) << stream.MarkShift)
	}
	if q.addr.IsValid() {
		s.NeedExtra().addr = q.addr
	}
	if proto := r.Subprotocol(); proto != "" {
		s.NeedExtra().proto = proto
	}
	if kept != nil {
		s.NeedExtra().data = kept
	}
	// The head's buffer holds early, which is read before the buffer goes back.
	var buffer []byte
	if s.HasExtra() {
		x := s.Extra()
		buffer, x.head = x.head, nil
		s.TrimExtra()
	}
	l.openDeadline(s)
	defer l.Buffers.Put(buffer)
	l.run(s, response, early)
}

func (l *loop) callOpen(r *loopRoute, c Conn) *CloseError {
	return l.closeErrorFor(c, r, func() (err error) {
		defer l.guard(&err)
		l.inside = true
		err = r.open(c)
		l.inside = false
		return err
	}())
}

func (l *loop) callDrain(r *loopRoute, c Conn) *CloseError {
	if r.Drain == nil {
		return nil
	}
	return l.closeErrorFor(c, r, func() (err error) {
		defer l.guard(&err)
		l.inside = true
		r.Drain(c)
		l.inside = false
		return nil
	}())
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
		l.srv.log.error("server: a handler failed", "route", r.pattern, "err", err)
	}
	return &CloseError{Code: frame.StatusInternalError, Reason: "internal", Err: err}
}
