//go:build linux

package server

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
	"github.com/usher-ws/usher/upgrade"
)

// This file is the loop's side of Offload: what it hands to the workers, what it
// hears from them, and how a connection ends that has jobs.

// A connection is held when it has so many jobs, or of so many bytes, and goes on
// when it has half of that.
const (
	jobsAtOnce = 16
	jobBytes   = 128 << 10
)

// line is the jobs of one connection, in their order. It exists as long as there
// are any, and keeps the connection's slot.
type line struct {
	conn Conn
	pool *pool

	// What a worker may ask about the connection: it must not look at the slot.
	identity atomic.Pointer[upgrade.Identity]
	route    *loopRoute
	values   []string
	proto    string
	peer     netip.AddrPort

	// Guarded by pool.mu.
	jobs   []job // not begun
	over   []result
	taken  bool // it is in the pool's queue, or a worker has it
	ended  bool // no more of its jobs are to begin
	pinned bool // the socket is closed: only the loop closed the connection
	next   *line

	// The loop's.
	open  int         // jobs of whose end the loop has not heard
	bytes int         // of their data, as buffers count them
	then  func(link)  // how the connection ends when there are none
	told  *CloseError // what then tells Close, if that is known and was first
}

// lines are the lines of a loop's connections by their token. Any goroutine may look
// one up.
type lines struct {
	n  atomic.Int32 // so that nobody pays who has no Offload
	mu sync.RWMutex
	of map[uint64]*line
}

func (t *lines) get(tok uint64) *line {
	if t.n.Load() == 0 {
		return nil
	}
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.of[tok]
}

func (t *lines) put(tok uint64, q *line) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of = make(map[uint64]*line)
	}
	t.of[tok] = q
	t.n.Add(1)
}

func (t *lines) drop(tok uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.of, tok)
	t.n.Add(-1)
}

// submit makes a job of a message. It is called by the connection's chain, on the
// loop.
func (l *loop) submit(c Conn, p *pool, next Handler, m Message) {
	s := l.At(c.slot)
	x := s.NeedExtra()
	if x.line == nil {
		at := &l.places.all[s.Data().place]
		x.line = &line{conn: c, pool: p, route: at.route, values: at.values, proto: x.proto, peer: s.RemoteAddr()}
		x.line.identity.Store(l.identities.get(s.Data().ident))
		l.lines.put(c.token(), x.line)
	}
	q := x.line
	m.Data = append(l.Buffers.Get(len(m.Data)), m.Data...)
	q.open++
	q.bytes += cap(m.Data)
	if q.open >= jobsAtOnce || q.bytes >= jobBytes {
		s.Hold(byJobs)
	}
	p.add(q, job{next, m})
}

// takeJob takes note of a job that is over, what it sent being delivered, and lets the
// connection end if it waited for that, or go on.
func (l *loop) takeJob(tok uint64) {
	q := l.lines.get(tok)
	if q == nil {
		return // abandoned
	}
	q.pool.mu.Lock()
	r := q.over[0]
	q.over = q.over[1:]
	q.pool.mu.Unlock()
	s := l.At(q.conn.slot)
	l.DealWith(s)
	l.giveBack(q, r.data)
	if r.err != nil {
		l.jobFailed(q, r.err)
	}
	if l.windUp(s, q) {
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
func (l *loop) windUp(s link, q *line) bool {
	if q.open == 0 && s.State() == stream.Gone {
		defer s.Free()
	}
	return l.endIfDone(s, q)
}

// jobFailed ends the connection as a handler's error does. The line's worker has
// stopped at it.
func (l *loop) jobFailed(q *line, err error) {
	l.dropJobs(q)
	var p *panicError
	if errors.As(err, &p) {
		l.logPanic(p)
	}
	if e := l.closeErrorFor(q.conn, q.route, err); e != nil && q.then == nil {
		q.then = func(s link) { l.conclude(s, nil, e) }
	}
}

func (l *loop) giveBack(q *line, data []byte) {
	q.open--
	q.bytes -= cap(data)
	l.Buffers.Put(data)
}

// dropJobs forgets the jobs that have not begun.
func (l *loop) dropJobs(q *line) {
	for _, j := range q.pool.drop(q) {
		l.giveBack(q, j.m.Data)
	}
}

// endIfDone retires a line without jobs, and reports whether the connection waited for
// that and has ended.
func (l *loop) endIfDone(s link, q *line) bool {
	if q.open > 0 {
		return false
	}
	l.retire(s, q)
	if q.then == nil {
		return false
	}
	q.then(s)
	return true
}

// retire ends a line without jobs.
func (l *loop) retire(s link, q *line) {
	l.lines.drop(q.conn.token())
	s.Extra().line = nil
	s.TrimExtra()
}

// afterJobs puts the end of a connection off until its jobs are done, and reports
// whether the caller has nothing more to do. Until then nothing is read; the first end
// counts.
func (l *loop) afterJobs(s link, then func(link)) bool {
	q := s.Extra().line
	if q == nil {
		return false
	}
	if s.Generation()&closeAsked != 0 {
		if l.dropJobs(q); q.open == 0 {
			return l.endIfDone(s, q)
		}
	}
	if q.then == nil {
		q.then = then
	}
	l.dropInput(s)
	s.Data().facts.become(winding)
	s.Hold(byJobs)
	s.Go(byDelay | stream.Turn)
	l.pause(s)
	return true
}

// pin keeps a connection whose socket is closed until those of its jobs are done that may
// still be, and reports whether there are any.
func (l *loop) pin(s link, q *line, cause error) (keep bool) {
	q.pool.mu.Lock()
	q.pinned = true // before closeAsked is set, which else would be the user's
	q.pool.mu.Unlock()
	asked := s.Mark(closeAsked)&closeAsked != 0
	s.Data().facts.become(winding)
	l.leaveAll(s)
	l.dropInput(s)
	q.then = func(s link) {
		e := q.told
		if e == nil {
			e = &CloseError{Code: frame.StatusAbnormalClosure, Err: cause}
		}
		l.depart(s, e)
	}
	if asked {
		l.dropJobs(q) // the workers have stopped, or will
	}
	return !l.endIfDone(s, q)
}

// abandonJobs ends the waiting for jobs: the loop ends. One may be under way; its
// buffer is left to it, and its line to its questions.
func (l *loop) abandonJobs(s link) {
	q := s.Extra().line
	if q == nil {
		return
	}
	l.dropJobs(q)
	l.Buffers.Forget(q.bytes)
	s.Extra().line = nil
}
