//go:build linux

package server

import (
	"runtime/debug"
	"sync"
)

// pool is the goroutines of one Offload. There are only as many as there is work
// for. It belongs to no loop: its lock is above what it guards.
type pool struct {
	most int

	mu          sync.Mutex
	workers     int
	first, last *line // those with a job that nobody has begun
}

// job is a message that is to be handled.
type job struct {
	next MessageFunc
	m    Message // Data is from the loop's buffers
}

// result is what the loop hears of a job.
type result struct {
	data []byte // to be put back
	err  error
}

// add puts j behind the other jobs of q.
func (p *pool) add(q *line, j job) {
	p.mu.Lock()
	q.jobs = append(q.jobs, j)
	if !q.taken && !q.ended {
		q.taken = true
		p.push(q)
	}
	hire := p.first != nil && p.workers < p.most
	if hire {
		p.workers++
	}
	p.mu.Unlock()
	if hire {
		go p.work()
	}
}

// drop takes the jobs out of q that have not begun.
func (p *pool) drop(q *line) []job {
	p.mu.Lock()
	defer p.mu.Unlock()
	jobs := q.jobs
	q.jobs = nil
	return jobs
}

// work does jobs until there are none: one of a connection, then one of the next.
func (p *pool) work() {
	p.mu.Lock()
	for q := p.pop(); q != nil; q = p.pop() {
		j := q.jobs[0]
		q.jobs[0] = job{}
		q.jobs = q.jobs[1:]
		p.mu.Unlock()
		p.do(q, j)
		p.mu.Lock()
	}
	p.workers--
	p.mu.Unlock()
}

// do calls the handler. If that ends the goroutine, another goes on with the work.
func (p *pool) do(q *line, j job) {
	var err error
	returned := false
	defer func() {
		v := recover()
		switch {
		case returned:
		case v != nil:
			err = &panicError{v, debug.Stack()}
		default:
			err = &panicError{errExited, debug.Stack()}
			defer func() { go p.work() }()
		}
		p.done(q, result{j.m.Data, err})
	}()
	err = j.next(q.conn, j.m)
	returned = true
}

// done notes that a job is over, and tells the loop.
func (p *pool) done(q *line, r result) {
	p.mu.Lock()
	q.over = append(q.over, r)
	q.ended = q.ended || r.err != nil || !q.pinned && q.conn.isClosed()
	if q.taken = !q.ended && len(q.jobs) > 0; q.taken {
		p.push(q)
	}
	p.mu.Unlock()
	q.conn.loop.mail.jobDone(q.conn.token()) // behind what the job has sent
}

func (p *pool) push(q *line) {
	if p.last != nil {
		p.last.next = q
	} else {
		p.first = q
	}
	p.last = q
}

// pop takes out the line whose turn it is. One whose jobs were dropped is passed over.
func (p *pool) pop() *line {
	for q := p.first; q != nil; q = p.first {
		if p.first = q.next; p.first == nil {
			p.last = nil
		}
		q.next = nil
		if len(q.jobs) > 0 {
			return q
		}
		q.taken = false
	}
	return nil
}
