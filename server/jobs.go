//go:build linux

package server

import (
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/poller"
	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/sys/unix"
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
	open  int                 // jobs of whose end the loop has not heard
	bytes int                 // of their data, as buffers count them
	then  func(uint32, *slot) // how the connection ends when there are none
	told  *CloseError         // what then tells Close, if that is known and was first
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
	s := l.slab.at(c.slot)
	x := l.exts.need(s)
	if x.line == nil {
		at := &l.places.all[s.place]
		x.line = &line{conn: c, pool: p, route: at.route, values: at.values, proto: x.proto, peer: poller.Peer(int(s.fd))}
		x.line.identity.Store(l.identities.get(s.ident))
		l.lines.put(c.token(), x.line)
	}
	q := x.line
	m.Data = append(l.buffers.Get(len(m.Data)), m.Data...)
	q.open++
	q.bytes += cap(m.Data)
	if q.open >= jobsAtOnce || q.bytes >= jobBytes {
		s.why |= byJobs
	}
	p.add(q, job{next, m})
}

// jobDone takes note of a job that is over, what it sent being delivered, and lets the
// connection end if it waited for that, or go on.
func (l *loop) jobDone(tok uint64) {
	q := l.lines.get(tok)
	if q == nil {
		return // abandoned
	}
	q.pool.mu.Lock()
	r := q.over[0]
	q.over = q.over[1:]
	q.pool.mu.Unlock()
	i, s := q.conn.slot, l.slab.at(q.conn.slot)
	l.at = i
	l.giveBack(q, r.data)
	if r.err != nil {
		l.jobFailed(q, r.err)
	}
	if l.endIfDone(i, s, q) {
		return
	}
	if s.why&byJobs != 0 && q.then == nil && q.open <= jobsAtOnce/2 && q.bytes <= jobBytes/2 {
		// In its turn: what else is in the mailbox for it comes first.
		s.why &^= byJobs
		l.waitTurn(q.conn, s)
	}
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
		q.then = func(i uint32, s *slot) { l.conclude(i, s, nil, e) }
	}
}

func (l *loop) giveBack(q *line, data []byte) {
	q.open--
	q.bytes -= cap(data)
	l.buffers.Put(data)
}

// dropJobs forgets the jobs that have not begun.
func (l *loop) dropJobs(q *line) {
	for _, j := range q.pool.drop(q) {
		l.giveBack(q, j.m.Data)
	}
}

// waits reports whether there are jobs that have not begun.
func (q *line) waits() bool {
	q.pool.mu.Lock()
	defer q.pool.mu.Unlock()
	return len(q.jobs) > 0
}

// endIfDone retires a line without jobs, and reports whether the connection waited for
// that and has ended.
func (l *loop) endIfDone(i uint32, s *slot, q *line) bool {
	if q.open > 0 {
		return false
	}
	l.retire(s, q)
	if q.then == nil {
		return false
	}
	q.then(i, s)
	return true
}

// retire ends a line without jobs.
func (l *loop) retire(s *slot, q *line) {
	l.lines.drop(q.conn.token())
	l.exts.get(s).line = nil
	l.exts.trim(s)
}

// afterJobs puts the end of a connection off until its jobs are done, and reports
// whether the caller has nothing more to do. Until then nothing is read; the first end
// counts.
func (l *loop) afterJobs(i uint32, s *slot, then func(uint32, *slot)) bool {
	q := l.exts.get(s).line
	if q == nil {
		return false
	}
	if s.gen.Load()&closeAsked != 0 {
		if l.dropJobs(q); q.open == 0 {
			return l.endIfDone(i, s, q)
		}
	}
	if q.then == nil {
		q.then = then
	}
	l.dropInput(s)
	s.why = s.why&byBacklog | byJobs
	l.settle(i, s)
	return true
}

// pin closes the socket of a connection that has jobs. Its slot, its quotas, its groups and
// its Close callback wait for those that may still be done.
func (l *loop) pin(i uint32, s *slot, q *line, cause error) {
	q.pool.mu.Lock()
	q.pinned = true // before closeAsked is set, which else would be the user's
	q.pool.mu.Unlock()
	asked := s.gen.Or(closeAsked)&closeAsked != 0
	l.dropInput(s)
	l.dropOutbox(s)
	l.shut(s)
	s.state, s.why = closed, 0
	l.setDue(i, 0)
	q.then = func(i uint32, s *slot) {
		s.state = closing // the Close callback may ask about the connection
		if q.told != nil {
			l.depart(i, s, q.told)
		}
		l.release(i, s, cause)
	}
	if asked {
		l.dropJobs(q) // the workers have stopped, or will
	}
	l.endIfDone(i, s, q)
}

// abandonJobs ends the waiting for jobs: the loop ends. One may be under way; its
// buffer is left to it, and its line to its questions.
func (l *loop) abandonJobs(s *slot) {
	q := l.exts.get(s).line
	if q == nil {
		return
	}
	l.dropJobs(q)
	l.buffers.inUse -= q.bytes
	l.exts.get(s).line = nil
	if s.state == closed {
		s.state = closing
	}
}

// shut closes the socket, once.
func (l *loop) shut(s *slot) {
	if s.fd < 0 {
		return
	}
	_ = l.poll.Remove(int(s.fd)) // fails only if Add did
	unix.Close(int(s.fd))
	s.fd = -1
}

// dropInput gives back what has been read and will not be handled.
func (l *loop) dropInput(s *slot) {
	if s.ext == 0 {
		return
	}
	x := l.exts.get(s)
	x.partial.Release(&frame.Config{Buffers: &l.buffers})
	x.partial, x.since, x.paused, x.resume = nil, 0, 0, 0
	l.exts.trim(s)
}

// dropOutbox gives back what the peer will not take any more.
func (l *loop) dropOutbox(s *slot) {
	if s.ext == 0 {
		return
	}
	x := l.exts.get(s)
	l.buffers.Put(x.outbox)
	x.outbox, x.sent, x.stalled = nil, 0, 0
	l.exts.trim(s)
}
