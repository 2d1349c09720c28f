//go:build linux

package server

import (
	"errors"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
)

// This file is the loop's side of Offload: what it hands to the workers, what it
// hears from them, and how a connection with jobs ends.

// A connection is held when it has so many jobs, or of so many bytes, and goes on
// when it has half of that.
const (
	jobsAtOnce = 16
	jobBytes   = 128 << 10
)

// jobs are those of a loop's connections that are done elsewhere.
type jobs struct {
	*loop
	lines lines // any goroutine may look
}

// submit makes a job of a message. It is called by the connection's chain, on the
// loop.
func (j *jobs) submit(c Conn, p *pool, next MessageFunc, m Message) {
	s := j.At(c.slot)
	x := s.NeedExtra()
	if x.line == nil {
		at := j.places.At(s.Data().place)
		x.line = &line{conn: c, pool: p, route: at.route, values: at.values, proto: at.proto, peer: s.RemoteAddr()}
		if ident := s.Data().ident; ident != 0 {
			x.line.identity.Store(&lateIdentity{identity: j.srv.users.get(ident)})
		}
		j.lines.put(c.token(), x.line)
	}
	q := x.line
	m.Data = append(j.Buffers.Get(len(m.Data)), m.Data...)
	q.open++
	q.bytes += cap(m.Data)
	if q.open >= jobsAtOnce || q.bytes >= jobBytes {
		s.Hold(byJobs)
	}
	p.add(q, job{next, m})
}

// takeJob takes note of a job that is over, after what it sent was delivered, and lets the
// connection end, if it waited for that, or go on.
func (j *jobs) takeJob(tok uint64) {
	q := j.lines.get(tok)
	if q == nil {
		return // abandoned
	}
	q.pool.mu.Lock()
	r := q.over[0]
	q.over = q.over[1:]
	q.pool.mu.Unlock()
	s := j.At(q.conn.slot)
	j.DealWith(s)
	j.giveBack(q, r.data)
	if r.err != nil {
		j.jobFailed(q, r.err)
	}
	if j.windUp(s, q) {
		return
	}
	if s.Why()&byJobs != 0 && q.then == nil && q.open <= jobsAtOnce/2 && q.bytes <= jobBytes/2 {
		// In its turn: what else is in the mailbox for it comes first.
		s.Yield()
		s.Go(byJobs)
	}
}

// windUp is endIfDone for a connection whose socket may be closed: then its slot is given
// up, too.
func (j *jobs) windUp(s link, q *line) bool {
	if q.open == 0 && s.State() == stream.Gone {
		defer s.Free()
	}
	return j.endIfDone(s, q)
}

// jobFailed ends the connection as a handler's error does. The line's worker has
// stopped at it.
func (j *jobs) jobFailed(q *line, err error) {
	j.dropJobs(q)
	var p *panicError
	if errors.As(err, &p) {
		j.logPanic(p)
	}
	if e := j.closeErrorFor(q.conn, q.route, err); e != nil && q.then == nil {
		q.then = func(s link) { j.conclude(s, nil, e) }
	}
}

func (j *jobs) giveBack(q *line, data []byte) {
	q.open--
	q.bytes -= cap(data)
	j.Buffers.Put(data)
}

// dropJobs forgets the jobs that have not begun.
func (j *jobs) dropJobs(q *line) {
	for _, dropped := range q.pool.drop(q) {
		j.giveBack(q, dropped.m.Data)
	}
}

// endIfDone retires a line without jobs, and reports whether the connection waited for
// that and has ended.
func (j *jobs) endIfDone(s link, q *line) bool {
	if q.open > 0 {
		return false
	}
	j.retire(s, q)
	if q.then == nil {
		return false
	}
	q.then(s)
	return true
}

// retire ends a line without jobs.
func (j *jobs) retire(s link, q *line) {
	j.lines.drop(q.conn.token())
	s.Extra().line = nil
	s.TrimExtra()
}

// afterJobs puts the end of a connection off until its jobs are done, and reports
// whether the caller has nothing more to do. Until then nothing is read; the first end
// counts.
func (j *jobs) afterJobs(s link, then func(link)) bool {
	q := s.Extra().line
	if q == nil {
		return false
	}
	if s.Generation()&closeAsked != 0 {
		if j.dropJobs(q); q.open == 0 {
			return j.endIfDone(s, q)
		}
	}
	if q.then == nil {
		q.then = then
	}
	j.dropInput(s)
	s.Data().facts.become(winding)
	s.Hold(byJobs)
	s.Go(byDelay | stream.Turn)
	j.pause(s)
	return true
}

// pin keeps a connection whose socket is closed, in its groups too, until those of its jobs
// are done that may still be, and reports whether there are any.
func (j *jobs) pin(s link, q *line, cause error) (keep bool) {
	q.pool.mu.Lock()
	q.pinned = true // before closeAsked is set, which else would be the user's
	q.pool.mu.Unlock()
	asked := s.Mark(closeAsked)&closeAsked != 0
	s.Data().facts.become(winding)
	j.dropInput(s)
	q.then = func(s link) {
		e := q.told
		if e == nil {
			e = &CloseError{Code: frame.StatusAbnormalClosure, Err: cause}
		}
		j.depart(s, e)
	}
	if asked {
		j.dropJobs(q) // the workers have stopped, or will
	}
	return !j.endIfDone(s, q)
}

// abandonJobs ends the waiting for jobs, since the loop ends. One may be under way: its
// buffer stays with it, and its line goes on answering what it asks.
func (j *jobs) abandonJobs(s link) {
	q := s.Extra().line
	if q == nil {
		return
	}
	j.dropJobs(q)
	j.Buffers.Forget(q.bytes)
	s.Extra().line = nil
}
