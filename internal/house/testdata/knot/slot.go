package knot

// Slot calls nobody.
type Slot[T any] struct{ kept []T }

func (s *Slot[T]) take() []T { return s.kept }

func (s *Slot[T]) put(v ...T) { s.kept = v }

func each[T any](all []*Slot[T], do func(*Slot[T])) {
	for _, s := range all {
		do(s)
	}
}
