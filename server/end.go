//go:build linux

package server

import (
	"bytes"
	"errors"
	"io"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
	"github.com/usher-ws/usher/upgrade"
)

// This file is the one exit: nothing else ends a connection that was open. (What never was
// is ended by the door.)

var errCut = errors.New("server: cut at the end of the drain")

var errTokenExpired = &CloseError{Code: statusTokenExpired, Reason: upgrade.CodeTokenExpired}

// statusTokenExpired is the close code of a token that was good until now: 401 in
// the range for applications, RFC 6455 §7.4.2, as it is for AcceptClose.
const statusTokenExpired frame.StatusCode = 4401

// conclude ends an open connection for a reason of ours: out, then a close frame that
// tells e.
func (l *loop) conclude(s link, out []byte, e *CloseError) {
	l.end(s, frame.AppendCloseFrame(out, e.Code, e.Reason), e)
}

// end begins to close an open connection whose last bytes are out, when its jobs are done
// if it has any.
func (l *loop) end(s link, out []byte, e *CloseError) {
	if q := s.Extra().line; q != nil {
		kept, first := bytes.Clone(out), q.then == nil
		if l.jobs.afterJobs(s, func(s link) { l.end(s, kept, e) }) {
			if first {
				q.told = e
			}
			return
		}
	}
	if l.putOff(s, out, e) {
		return
	}
	if p := s.Extra().parting; p != nil { // the first end counts
		out, e = p.out, p.err
	}
	l.routeOf(s).tally.BytesOut += int64(len(out))
	defer func() {
		l.dropInput(s)
		s.Finish(out)
	}()
	l.depart(s, e)
}

// hearEnd ends a connection whose peer has ended its side without a close frame: 1006.
func (o owner) hearEnd(s link) {
	if !o.jobs.afterJobs(s, func(s link) { s.Cut(io.EOF) }) {
		s.Cut(io.EOF)
	}
}

// lose ends a connection whose socket is closed without a close frame of ours, and reports
// whether it still has jobs: its slot, its quotas and its Close callback wait for those.
func (o owner) lose(s link, cause error) (keep bool) {
	if q := s.Extra().line; q != nil {
		return o.jobs.pin(s, q, cause)
	}
	defer o.dropInput(s)
	o.depart(s, &CloseError{Code: frame.StatusAbnormalClosure, Err: cause})
	return false
}

// depart ends what the user has of a connection that was open: its groups, its
// Close callback, its quotas. It is carried out once.
func (l *loop) depart(s link, e *CloseError) {
	f := &s.Data().facts
	if !f.isUsers() {
		return
	}
	f.become(over)
	s.Mark(closeAsked)
	r, c := l.routeOf(s), l.conn(s)
	l.partUpstream(s)
	r.tally.countClose(e)
	l.meter.refund(s)
	before := l.departing
	l.departing = s.Token()
	defer func() { l.departing, l.owes = before, 0 }()
	defer l.departed(s)
	defer l.tellLeft(r, c, l.groups.leaveAll(s)...)
	l.enter(r)
	_ = l.try(func() error { r.close(c, e); return nil })
}

// departed gives back what the connection had, after Close could ask about it.
func (l *loop) departed(s link) {
	d := s.Data()
	quota{network: l.networks.at(s.Slot())}.release(l.srv)
	if s.HasExtra() {
		x := s.Extra()
		x.strikes, x.struck = 0, 0
		s.TrimExtra()
	}
	l.detachAll(s)
	l.upstreams.set(s.Slot(), 0)
	l.places.Drop(d.place)
	l.srv.users.remove(d.ident)
	d.place, d.ident = 0, 0
	l.weighTables()
}

// dropInput gives back what has been read and will not be handled, of one that ends.
func (l *loop) dropInput(s link) {
	if !s.HasExtra() {
		return
	}
	x := s.Extra()
	x.partial.Release(&frame.Config{Buffers: &l.Buffers})
	x.partial, x.begun, x.resume, x.parting = nil, 0, 0, nil
	s.TrimExtra()
}

// shed makes a connection give up the memory that it holds.
func (o owner) shed(s link) {
	q := s.Extra().line
	if s.State() == stream.Gone { // its peer has gone, its jobs have not
		o.jobs.dropJobs(q)
		o.jobs.windUp(s, q)
		return
	}
	o.srv.stats.shed.Add(1)
	if q != nil {
		o.jobs.dropJobs(q)
	} else if s.Waiting() == 0 {
		o.conclude(s, nil, &CloseError{Code: frame.StatusTryAgainLater, Reason: "memory"})
		return
	}
	// What waits is what takes the room: it would have to be dropped from the end of the
	// frame that the peer has begun to receive. Without knowing where that is, the
	// connection can only be cut.
	s.Cut(stream.ErrShed)
}
