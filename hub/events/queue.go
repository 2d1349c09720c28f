package events

import (
	"bytes"
	"sync"
	"time"
)

const (
	// batchBytes and batchEvents are when a batch is full; an event that is longer is a batch
	// of its own. Frameworks take bodies of 100 KB as a rule.
	batchBytes  = 64 << 10
	batchEvents = 500

	// gatherTime is how long the first event of a batch waits for others.
	gatherTime = 100 * time.Millisecond

	// lossSize is more than an event of type dropped takes, without the name of the node.
	lossSize = 128
)

// batch is some events in one request.
type batch struct {
	events []byte // objects, with commas in between
	n      int    // how many, without those of type dropped
	lost   loss   // what those tell of
	since  time.Time
}

// missing returns what is lost with b.
func (b *batch) missing() (all loss) {
	all = b.lost
	all.add(b.n, b.since)
	return all
}

// queue has what is to be sent, in its order.
type queue struct {
	node  string
	limit int           // bytes
	wake  chan struct{} // something is there, or full

	mu     sync.Mutex
	full   []batch   // the oldest first
	tail   batch     // the one that grows, in memory that is used again
	bytes  int       // of all batches, the one that is being sent included
	events int       // in them
	sent   time.Time // since of the one that is being sent, zero for none
	lost   loss      // what had no room since the last that had
	closed bool      // everything is lost
}

// add appends an event, and reports false if it has no room.
func (q *queue) add(event []byte, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	need := len(event) + 1 + lossSize + len(q.node) // behind it a loss can still be told
	if q.lost.n > 0 {
		need += lossSize + len(q.node)
	}
	if q.closed || q.bytes+need > q.limit {
		q.lost.add(1, now)
		if q.lost.n == 1 {
			q.signal()
		}
		return false
	}
	q.tellLoss(now)
	if len(q.tail.events)+len(event) >= batchBytes || q.tail.n >= batchEvents {
		q.seal()
	}
	q.append(event, now)
	q.tail.n++
	q.events++
	switch {
	case len(event) >= batchBytes:
		q.seal()
	case q.tail.n == 1:
		q.signal()
	}
	return true
}

// tellLoss appends the event that tells of what was lost, if anything was.
func (q *queue) tellLoss(now time.Time) {
	if q.lost.n == 0 {
		return
	}
	q.append(q.lost.appendJSON(nil, q.node, now), q.lost.since)
	q.tail.lost.add(q.lost.n, q.lost.since)
	q.lost = loss{}
}

// append puts an object into the tail.
func (q *queue) append(event []byte, since time.Time) {
	t := &q.tail
	if t.events == nil && len(event) < batchBytes {
		t.events = make([]byte, 0, batchBytes+lossSize)
	}
	if len(t.events) > 0 {
		t.events = append(t.events, ',')
		q.bytes++
	} else {
		t.since = since
	}
	t.events = append(t.events, event...)
	q.bytes += len(event)
}

// seal makes a full batch of the tail, if anything is in it.
func (q *queue) seal() {
	t := q.tail
	if len(t.events) == 0 {
		return
	}
	memory := t.events[:0]
	if cap(memory) > 2*batchBytes {
		memory = nil
	} else {
		t.events = bytes.Clone(t.events)
	}
	q.full = append(q.full, t)
	q.tail = batch{events: memory}
	q.signal()
}

// signal wakes take's caller.
func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take returns the next batch, which counts until done. If there is none yet it says how long to
// wait for it, less than 0 for until wake. With hurry nothing waits for others.
func (q *queue) take(now time.Time, hurry bool) (b batch, wait time.Duration, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.full) == 0 {
		since := q.tail.since
		if len(q.tail.events) == 0 {
			if since = q.lost.since; q.lost.n == 0 || q.closed {
				return batch{}, -1, false
			}
		}
		if wait := since.Add(gatherTime).Sub(now); wait > 0 && !hurry {
			return batch{}, wait, false
		}
		q.tellLoss(now)
		q.seal()
	}
	b = q.full[0]
	q.full[0] = batch{}
	if q.full = q.full[1:]; len(q.full) == 0 {
		q.full = nil
	}
	q.sent = b.since
	return b, 0, true
}

// done forgets a batch that take has returned.
func (q *queue) done(b batch) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= len(b.events)
	q.events -= b.n
	q.sent = time.Time{}
}

// close forgets everything but what take has returned, and has add take nothing until open. It
// returns what the backend has to be told of that, and how many events were lost just now.
func (q *queue) close() (all loss, events int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.seal()
	for _, b := range q.full {
		m := b.missing()
		all.add(m.n, m.since)
		events += b.n
		q.bytes -= len(b.events)
	}
	q.events -= events
	q.full, q.closed = nil, true
	return all, events
}

// open has add take events again.
func (q *queue) open() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = false
	q.signal()
}

// state returns how many events wait, in how many bytes, and since when.
func (q *queue) state() (events, bytes int, since time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case !q.sent.IsZero():
		since = q.sent
	case len(q.full) > 0:
		since = q.full[0].since
	case len(q.tail.events) > 0:
		since = q.tail.since
	}
	return q.events, q.bytes, since
}
