// Package timer keeps points in time in order: a heap for any order, and a queue for
// points that come in their order.
package timer

import (
	"slices"
	"time"
)

// Timer is a point in time, counted from an origin of the caller's, and what it is for.
type Timer struct {
	At    time.Duration
	Token uint64
}

// Heap is a binary heap, the earliest first. The zero Heap is empty.
type Heap struct {
	q    []Timer
	kept int // how many Tidy has left
}

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
	first, last := h.q[0], len(h.q)-1
	h.q[0] = h.q[last]
	h.q = h.q[:last]
	h.sink(0)
	return first.Token, true
}

// sink brings the timer in a place down to where it belongs.
func (h *Heap) sink(at int) {
	for q := h.q; ; {
		next := 2*at + 1
		if next+1 < len(q) && q[next+1].At < q[next].At {
			next++
		}
		if next >= len(q) || q[at].At <= q[next].At {
			return
		}
		q[at], q[next] = q[next], q[at]
		at = next
	}
}

// tidyFrom is how many timers are not worth looking at.
const tidyFrom = 64

// Tidy takes out those that nobody waits for, if there are more than twice as many as it has
// left before: so they never are the most for long, and it costs little for each Push.
func (h *Heap) Tidy(isAwaited func(token uint64) bool) {
	if len(h.q) < max(2*h.kept, tidyFrom) {
		return
	}
	left := slices.DeleteFunc(h.q, func(t Timer) bool { return !isAwaited(t.Token) })
	if cap(left) > 4*len(left) {
		left = slices.Clone(left)
	}
	h.q, h.kept = left, len(left)
	for at := len(left)/2 - 1; at >= 0; at-- {
		h.sink(at)
	}
}

// Len is how many timers there are.
func (h *Heap) Len() int { return len(h.q) }

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
