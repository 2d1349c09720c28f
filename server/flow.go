//go:build linux

package server

import "bytes"

// flow is entries that have to be done in their order: those of one connection's callbacks,
// and what others want of the same groups. The goroutines that are no callbacks are one
// source.
type flow struct {
	first, last *node
	parties     []party // that flows.of has for it
	weight      int     // the deliveries it was estimated to take, ever
}

// node is an entry of a flow. Nodes are used again as long as there are flows: a loop that
// has much to do must not have to wait for the collector.
type node struct {
	entry
	next *node
}

// flows are independent of each other.
type flows struct {
	of           map[party]*flow
	light, heavy []*flow // in their order; an empty one is none any more
	latest       *flow   // that add has added to for latestBy
	latestBy     party

	free *node  // a list of them
	slab []node // that were never used
	made int    // how many there are
}

// The nodes that are made at once, and how many of them are kept when there are no flows.
const (
	minSlab = 16
	maxSlab = 512
)

// newNode returns one that is empty.
func (f *flows) newNode() *node {
	if n := f.free; n != nil {
		f.free, n.next = n.next, nil
		return n
	}
	if len(f.slab) == 0 {
		f.slab = make([]node, min(max(f.made, minSlab), maxSlab))
		f.made += len(f.slab)
	}
	n := &f.slab[0]
	f.slab = f.slab[1:]
	return n
}

// run appends the first entry to list, and what can be done in the same go.
func (f *flow) run(list []entry) []entry {
	list = append(list, f.first.entry)
	for n := f.first.next; n != nil && len(list) < maxRun && n.goesWith(&f.first.entry); n = n.next {
		list = append(list, n.entry)
	}
	return list
}

// maxRun is how many entries are done in the same go at most.
const maxRun = 64

// goesWith reports whether e, which comes behind first, is sent to the same.
func (e *entry) goesWith(first *entry) bool {
	if first.kind == entryPublish {
		return e.kind == entryPublish && e.group == first.group
	}
	return first.kind <= entryPong && e.kind <= entryPong && e.tok == first.tok
}

// forget takes the first n entries out of to.
func (f *flows) forget(to *flow, n int) {
	for range n {
		first := to.first
		to.first = first.next
		*first = node{next: f.free}
		f.free = first
	}
	if to.first == nil {
		to.last = nil
	}
}

// add queues e, which takes so many deliveries, behind all that it must not overtake.
func (f *flows) add(m *mailbox, e entry, weight int) {
	if f.of == nil {
		f.of = make(map[party]*flow)
	}
	to := f.flowOf(m, &e)
	e.framed = bytes.Clone(e.framed)
	last := f.newNode()
	last.entry = e
	to.append(last, last)
	to.weight += weight
}

// flowOf returns the flow that e belongs to.
func (f *flows) flowOf(m *mailbox, e *entry) (to *flow) {
	isAlone := e.group == nil && e.by != (party{}) // only its callback's order matters
	if isAlone && e.by == f.latestBy && f.latest.parties != nil {
		return f.latest // most often there are many
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
	if isAlone {
		f.latest, f.latestBy = to, e.by
	}
	return to
}

// join makes one flow of two: now there is something that must come behind both. Up to here
// the order between them did not matter.
func (f *flows) join(a, b *flow) *flow {
	switch {
	case a == nil || a == b:
		return b
	case b == nil:
		return a
	case len(a.parties) < len(b.parties):
		a, b = b, a
	}
	for _, p := range b.parties {
		f.of[p] = a
	}
	a.parties = append(a.parties, b.parties...)
	if b.first != nil {
		a.append(b.first, b.last)
	}
	a.weight += b.weight
	*b = flow{}
	return a
}

// append appends the nodes from first to last.
func (f *flow) append(first, last *node) {
	if f.last == nil {
		f.first = first
	} else {
		f.last.next = first
	}
	f.last = last
}

// end forgets a flow that is empty.
func (f *flows) end(done *flow) {
	for _, p := range done.parties {
		delete(f.of, p)
	}
	*done = flow{}
	if len(f.of) > 0 {
		return
	}
	f.latest, f.latestBy = nil, party{}
	if f.of = nil; f.made > maxSlab {
		f.free, f.slab, f.made = nil, nil, 0
	}
}

// next takes out the first of list that is not empty, nil if there is none.
func next(list *[]*flow) (f *flow) {
	for f == nil && len(*list) > 0 {
		if f = (*list)[0]; f.first == nil {
			f = nil
		}
		(*list)[0] = nil
		*list = (*list)[1:]
	}
	return f
}
