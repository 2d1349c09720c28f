//go:build linux

package server

import "bytes"

// flow is entries that have to be done in their order: those of one connection's callbacks,
// and what others want of the same groups. The goroutines that are no callbacks are one
// source.
type flow struct {
	entries []entry
	parties []party // that flows.of has for it
	weight  int     // the deliveries it was estimated to take, ever
}

// flows are independent of each other.
type flows struct {
	of           map[party]*flow
	light, heavy []*flow // in their order; an empty one is none any more
}

// add queues e, which takes so many deliveries, behind all that it must not overtake.
func (f *flows) add(m *mailbox, e entry, weight int) {
	if f.of == nil {
		f.of = make(map[party]*flow)
	}
	keys := [3]party{e.by} // the zero party is other goroutines
	n := 1
	if e.group != nil {
		keys[n] = party{group: e.group}
		n++
	}
	if e.tok != 0 && e.by == (party{}) {
		keys[n] = m.partyOf(e.tok)
		n++
	}
	var to *flow
	for _, p := range keys[:n] {
		to = f.join(to, f.of[p])
	}
	if to == nil {
		to = new(flow)
		f.light = append(f.light, to)
	}
	for _, p := range keys[:n] {
		if f.of[p] != to {
			f.of[p] = to
			to.parties = append(to.parties, p)
		}
	}
	e.framed = bytes.Clone(e.framed)
	to.entries = append(to.entries, e)
	to.weight += weight
}

// join makes one flow of two: now there is something that must come behind both. Up to here
// the order between them did not matter.
func (f *flows) join(a, b *flow) *flow {
	switch {
	case a == nil || a == b:
		return b
	case b == nil:
		return a
	case len(a.entries) < len(b.entries):
		a, b = b, a
	}
	for _, p := range b.parties {
		f.of[p] = a
	}
	a.parties = append(a.parties, b.parties...)
	a.entries = append(a.entries, b.entries...)
	a.weight += b.weight
	*b = flow{}
	return a
}

// end forgets a flow that is empty.
func (f *flows) end(done *flow) {
	for _, p := range done.parties {
		delete(f.of, p)
	}
	if *done = (flow{}); len(f.of) == 0 {
		f.of = nil // it may have been large
	}
}

// next takes out the first of list that is not empty, nil if there is none.
func next(list *[]*flow) (f *flow) {
	for f == nil && len(*list) > 0 {
		if f = (*list)[0]; len(f.entries) == 0 {
			f = nil
		}
		(*list)[0] = nil
		*list = (*list)[1:]
	}
	return f
}
