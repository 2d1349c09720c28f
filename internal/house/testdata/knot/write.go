package knot

func (l *Loop[T, X]) write(s *Slot[T], b []T) {
	last := s
	if len(b) == 0 {
		l.close(last)
	}
	each([]*Slot[T]{last}, l.close) // handed on as a value: a tie, and no call of close
}

// count is given no slot.
func (l *Loop[T, X]) count() int { return len(l.slots) }
