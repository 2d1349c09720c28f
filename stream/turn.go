//go:build linux

package stream

// yield holds a stream until the others have had their turn.
func (l *Loop[T, X]) yield(i uint32, s *slot[T]) {
	if s.why&Turn == 0 {
		s.why |= Turn
		l.turns = append(l.turns, token(i, s.gen.Load()))
	}
}

// takeTurns lets those go on that had used up their turn in an earlier pass.
func (l *Loop[T, X]) takeTurns() {
	if len(l.going) == 0 { // else a pass did not come to its end
		waiting := l.turns
		l.turns = append(l.spareTurns[:0], waiting[l.ripe:]...)
		l.going, l.spareTurns, l.ripe = waiting[:l.ripe], waiting, 0
	}
	for len(l.going) > 0 {
		i, s := l.slab.find(l.going[0])
		l.going = l.going[1:]
		if s == nil || s.state != Held {
			continue
		}
		l.at = i
		s.why &^= Turn
		l.callResume(i, s)
	}
}
