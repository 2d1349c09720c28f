// Package timer keeps points in time in order: a heap for any order, and a queue for
// points that come in their order.
package timer

import "time"

// Timer is a point in time, counted from an origin of the caller's, and what it is for.
type Timer struct {
	At    time.Duration
	Token uint64
}

// Heap is a binary heap, the earliest first. The zero Heap is empty.
type Heap struct{ q []Timer }

// Push adds t.
func (h *Heap) Push(t Timer) {
	q := append(h.q, t)
	at := len(q) - 1
	for at > 0 && q[at].At < q[(at-1)/2].At {
		q[at], q[(at-1)/2] = q[(at-1)/2], q[at]
		at = (at - 1) / 2
	}
	h.q = q
}

// First returns the earliest point in time, and false if there is none.
func (h *Heap) First() (time.Duration, bool) {
	if len(h.q) == 0 {
		return 0, false
	}
	return h.q[0].At, true
}

// PopDue takes out the earliest if it has come by now.
func (h *Heap) PopDue(now time.Duration) (token uint64, ok bool) {
	if len(h.q) == 0 || h.q[0].At > now {
		return 0, false
	}
	q := h.q
	first, last := q[0], len(q)-1
	q[0] = q[last]
	q = q[:last]
	for at := 0; ; {
		next := 2*at + 1
		if next+1 < last && q[next+1].At < q[next].At {
			next++
		}
		if next >= last || q[at].At <= q[next].At {
			break
		}
		q[at], q[next] = q[next], q[at]
		at = next
	}
	h.q = q
	return first.Token, true
}

// Queue holds points in time that are pushed in their order. The zero Queue is empty.
type Queue struct {
	q    []Timer
	from int
}

// Push adds t, which must not be earlier than the one before it.
func (q *Queue) Push(t Timer) {
	if q.from > len(q.q)/2 && q.from > 64 {
		q.q = q.q[:copy(q.q, q.q[q.from:])]
		q.from = 0
	}
	q.q = append(q.q, t)
}

// First returns the earliest point in time, and false if there is none.
func (q *Queue) First() (time.Duration, bool) {
	if q.from == len(q.q) {
		return 0, false
	}
	return q.q[q.from].At, true
}

// Pop takes out the earliest.
func (q *Queue) Pop() (token uint64, ok bool) {
	if q.from == len(q.q) {
		q.q, q.from = q.q[:0], 0
		return 0, false
	}
	q.from++
	return q.q[q.from-1].Token, true
}

// PopDue takes out the earliest if it has come by now.
func (q *Queue) PopDue(now time.Duration) (token uint64, ok bool) {
	if at, ok := q.First(); !ok || at > now {
		return 0, false
	}
	return q.Pop()
}
