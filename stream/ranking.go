//go:build linux

package stream

import "container/heap"

// ranking is a heap of sources: first those with most streams of a standing, and of these
// those whose oldest is the oldest.
type ranking struct {
	of  standing
	all []*source
}

func (r *ranking) first() *source {
	if len(r.all) == 0 {
		return nil
	}
	return r.all[0]
}

// fix brings a source to where it belongs, one stream more or less.
func (r *ranking) fix(s *source) {
	l := &s.lists[r.of]
	isIn := l.at < len(r.all) && r.all[l.at] == s
	switch {
	case l.n == 0:
		heap.Remove(r, l.at)
	case isIn:
		heap.Fix(r, l.at)
	default:
		heap.Push(r, s)
	}
}

// Len is heap.Interface's, as are Less, Swap, Push and Pop.
func (r *ranking) Len() int { return len(r.all) }

// Less compares two sources.
func (r *ranking) Less(i, j int) bool {
	a, b := &r.all[i].lists[r.of], &r.all[j].lists[r.of]
	return a.n > b.n || a.n == b.n && a.since < b.since
}

// Swap exchanges two sources.
func (r *ranking) Swap(i, j int) {
	r.all[i], r.all[j] = r.all[j], r.all[i]
	r.all[i].lists[r.of].at, r.all[j].lists[r.of].at = i, j
}

// Push adds a source at the end.
func (r *ranking) Push(x any) {
	s := x.(*source)
	s.lists[r.of].at = len(r.all)
	r.all = append(r.all, s)
}

// Pop takes the last source away.
func (r *ranking) Pop() any {
	last := len(r.all) - 1
	s := r.all[last]
	r.all[last], r.all = nil, r.all[:last]
	return s
}
