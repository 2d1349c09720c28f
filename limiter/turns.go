package limiter

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// ErrFull is what Turns.Acquire answers if no more may wait.
var ErrFull = errors.New("limiter: too many wait for their turn")

// Turns gives a few places to many callers, each of which has a key, such as an
// address. Those that wait for a place stand in one line for each key, and the lines
// take turns: however many callers one key has, another key waits for one of them. Every
// other turn is for a line that had none yet (the sparse flows of RFC 8290, fq_codel), so
// that a newcomer passes by those that always wait.
//
// When all waiting places are taken, a caller whose line is shorter takes the place of
// the last one in the longest line. All methods are safe for any goroutine. A Turns must
// not be copied after its first use.
type Turns[K comparable] struct {
	// Not to be changed once the Turns is in use.
	Places  int // how many may be inside at once; less than 1 is 1
	Waiting int // how many may wait, of all keys together; zero is none

	mu      sync.Mutex
	inside  int
	waiting int
	lines   map[K]*line[K]
	fresh   []*line[K] // those that had no turn yet, the oldest first
	served  []*line[K] // those that had, the one whose turn is longest ago first
	second  bool       // the next turn is for one of served
}

// line is the callers of one key that wait, the first of them first. It may be empty
// while it is in served, so that its next caller is no newcomer.
type line[K comparable] struct {
	key     K
	callers []*caller
}

// caller is one that waits. called is told once what becomes of it: nil is a turn.
type caller struct{ called func(error) }

// Acquire waits for a place. It answers ErrFull if there is no room to wait, at once or
// when others need the room more, and ctx's error if that ends first. Each nil needs one
// Release.
func (t *Turns[K]) Acquire(ctx context.Context, k K) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if t.TryAcquire() {
		return nil
	}
	turn := make(chan error, 1)
	leave := t.Queue(k, func(err error) { turn <- err })
	select {
	case err := <-turn:
		return err
	case <-ctx.Done():
	}
	if leave() {
		return ctx.Err()
	}
	if err := <-turn; err != nil { // it came meanwhile
		return err
	}
	t.Release()
	return ctx.Err()
}

// TryAcquire takes a place if one is free, and reports whether it did. Each true needs one
// Release.
func (t *Turns[K]) TryAcquire() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.inside >= max(t.Places, 1) {
		return false
	}
	t.inside++
	return true
}

// Queue is Acquire for callers that do not wait: called is called once, with what Acquire
// would return, unless leave is called before. If a place is free, or there is no room to
// wait, that is before Queue returns. leave reports whether it was in time: if not, the
// place has to be released if there is one. called runs on whatever goroutine makes room; it
// must be quick, and must not call methods of t.
func (t *Turns[K]) Queue(k K, called func(error)) (leave func() bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.inside < max(t.Places, 1):
		t.inside++
		called(nil)
	case t.waiting >= t.Waiting && !t.makeRoom(k):
		called(ErrFull)
	default:
		c := &caller{called}
		t.queue(k, c)
		return func() bool { return t.leave(k, c) }
	}
	return func() bool { return false }
}

// leave takes a caller out of its line, and reports whether it was still there.
func (t *Turns[K]) leave(k K, c *caller) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.lines[k]
	if l == nil {
		return false
	}
	at := slices.Index(l.callers, c)
	if at < 0 {
		return false
	}
	l.callers = slices.Delete(l.callers, at, at+1)
	t.waiting--
	if fresh := slices.Index(t.fresh, l); fresh >= 0 && len(l.callers) == 0 {
		t.fresh = slices.Delete(t.fresh, fresh, fresh+1)
		delete(t.lines, k)
	}
	t.tidy()
	return true
}

// Release gives a place back, to the caller whose turn it is.
func (t *Turns[K]) Release() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next()
}

// InUse returns how many are inside and how many wait at this moment.
func (t *Turns[K]) InUse() (inside, waiting int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.inside, t.waiting
}

// makeRoom sends the last caller of the longest line away, unless k's own would then be
// no shorter. t.mu is held.
func (t *Turns[K]) makeRoom(k K) bool {
	var longest *line[K]
	for _, l := range t.lines {
		if longest == nil || len(l.callers) > len(longest.callers) {
			longest = l
		}
	}
	own := 0
	if l := t.lines[k]; l != nil {
		own = len(l.callers)
	}
	if longest == nil || len(longest.callers) <= own+1 {
		return false
	}
	last := len(longest.callers) - 1
	longest.callers[last].called(ErrFull)
	longest.callers = longest.callers[:last]
	t.waiting--
	return true
}

// queue adds a caller to the line of k. t.mu is held.
func (t *Turns[K]) queue(k K, c *caller) {
	l := t.lines[k]
	if l == nil {
		if t.lines == nil {
			t.lines = make(map[K]*line[K])
		}
		l = &line[K]{key: k}
		t.lines[k] = l
		t.fresh = append(t.fresh, l)
	}
	l.callers = append(l.callers, c)
	t.waiting++
}

// next gives a place that has become free to the caller whose turn it is. t.mu is held.
func (t *Turns[K]) next() {
	if t.waiting == 0 {
		t.inside--
		return
	}
	l := t.front()
	l.callers[0].called(nil)
	l.callers[0] = nil
	l.callers = l.callers[1:]
	t.served = append(t.served, l)
	t.waiting--
	t.tidy()
}

// front takes the line whose turn it is out of its list. Empty ones are forgotten on the
// way. Somebody waits, and t.mu is held.
func (t *Turns[K]) front() *line[K] {
	t.second = !t.second
	for {
		from := &t.fresh
		if len(t.served) > 0 && (t.second || len(t.fresh) == 0) {
			from = &t.served
		}
		l := (*from)[0]
		(*from)[0] = nil
		*from = (*from)[1:]
		if len(l.callers) > 0 {
			return l
		}
		delete(t.lines, l.key)
	}
}

// tidy forgets all lines when nobody waits. t.mu is held.
func (t *Turns[K]) tidy() {
	if t.waiting == 0 {
		t.lines, t.fresh, t.served = nil, nil, nil
	}
}
