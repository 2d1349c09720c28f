// Package knot is three files that call each other, one below them, and one above.
package knot

// Handler is told what was read.
type Handler interface{ Told(n int) }

// Loop has its methods in three files.
type Loop[T any, X Handler] struct {
	slots   []*Slot[T]
	handler X
}

// Read is where a slot comes in.
func (l *Loop[T, X]) Read(s *Slot[T]) {
	l.write(s, s.take())
	l.handler.Told(len(l.slots)) // Table's, or anybody's
}

func (l *Loop[T, X]) again() { each(l.slots, l.Read) }
