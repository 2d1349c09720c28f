//go:build linux

package stream

// turns are streams that wait until the others have had theirs, by their tokens.
type turns struct {
	waiting []uint64
	going   []uint64 // those that are going on now
	ripe    int      // how many of waiting may go on: the pass in which they were held is over
	spare   []uint64
}

// ripen says that a pass is over, and reports whether anyone may go on in the next.
func (t *turns) ripen() bool {
	t.ripe = len(t.waiting)
	return t.ripe > 0
}

// next returns the next that may go on in this pass, and false when there is none.
func (t *turns) next() (uint64, bool) {
	if len(t.going) == 0 {
		return 0, false
	}
	tok := t.going[0]
	t.going = t.going[1:]
	return tok, true
}

// begin takes the streams that had used up their turn in an earlier pass, unless the pass
// before did not come to its end.
func (t *turns) begin() {
	if len(t.going) > 0 {
		return
	}
	waiting := t.waiting
	t.waiting = append(t.spare[:0], waiting[t.ripe:]...)
	t.going, t.spare, t.ripe = waiting[:t.ripe], waiting, 0
}

// takeTurns lets the streams go on whose turn it is.
func (l events[T, X]) takeTurns() {
	l.turns.begin()
	for tok, ok := l.turns.next(); ok; tok, ok = l.turns.next() {
		i, s := l.slab.find(tok)
		if s == nil {
			continue
		}
		s.why &^= Turn
		if s.state == Held {
			l.at = i
			l.callResume(i, s)
		}
	}
}
