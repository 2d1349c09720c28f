package knot

func (l *Loop[T, X]) close(s *Slot[T]) {
	for range l.count() {
		(*Slot[T]).put(s, s.take()...)
	}
	l.again()
}
