//go:build linux

package server

import "bytes"

// This file is the order in which a loop does what it has taken from its mailbox: as it
// came, as far as a turn goes. What is left goes on in the next turns, by flows that take
// turns themselves, so that whatever one connection asks for, the others wait for a moment
// only.

// A turn of the mailbox: so many sends, of less than sendWeight bytes each.
const (
	mailPerTurn = 128
	sendWeight  = 16 << 10
)

const (
	// lightFlow is how many sends a flow may have and still go before the others.
	lightFlow = 16

	// flowPerTurn is how many sends of another flow are done before it is the turn of the
	// next. It is large, so that flows that began together do not all end together.
	flowPerTurn = 64
)

// work is what a loop has taken from its mailbox and has not done.
type work struct {
	taken   lane
	inOrder flow // what is left of taken
	flows
	serving *flow // that is in no list, as its turn is
	begun   *flow // whose first entry is being done for many connections
	left    int   // sends, of this turn
	stop    int   // when left is that, it is the turn of others
	at      bool  // Mail is running
}

// flow is entries that have to be done in their order: those of one connection's callbacks,
// and what others want of the same groups. The goroutines that are no callbacks are one
// source.
type flow struct {
	entries []entry
	parties []party // that flows.of has for it
	sends   int     // that it was estimated to take, ever
}

// flows are independent of each other.
type flows struct {
	of           map[party]*flow
	light, heavy []*flow // in their order; an empty one is none any more
}

func (f *flows) isEmpty() bool { return len(f.of) == 0 }

// add queues e, which takes so many sends, behind all that it must not overtake.
func (f *flows) add(m *mailbox, e entry, sends int) {
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
	to.sends += sends
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
	a.sends += b.sends
	*b = flow{}
	return a
}

// end forgets a flow that is empty.
func (f *flows) end(done *flow) {
	for _, p := range done.parties {
		delete(f.of, p)
	}
	*done = flow{}
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

// Mail does what other goroutines asked for, for a turn.
func (o owner) Mail() {
	w := &o.work
	w.left, w.at = mailPerTurn, true
	o.takeUp()
	if len(w.inOrder.entries) == 0 {
		w.taken = o.mail.take()
		w.inOrder.entries = w.taken.entries
	}
	for w.stop = 0; len(w.inOrder.entries) > 0 && w.left > 0 && w.flows.isEmpty(); {
		o.serve(&w.inOrder)
	}
	o.putOff()
	o.serveFlows()
	w.at = false
	var more bool
	if o.relieved, more = o.mail.settle(o.relieved[:0]); more {
		o.Wake()
	}
	for _, p := range o.relieved {
		if p.loop == o.loop {
			o.relieve(p.tok)
		} else {
			p.loop.mail.tell(entryRelieved, p.tok, nil)
		}
	}
}

// takeUp takes up what was being done when a callback has ended the goroutine: what is for
// many connections goes on with the next of them. If it is for none, it cannot be done.
func (o owner) takeUp() {
	w := &o.work
	if f := w.begun; f != nil {
		w.begun = nil
		if o.groups.walking == nil {
			o.pop(f, 1)
		}
		o.groups.walking = nil
	}
	if f := w.serving; f != nil {
		w.serving = nil
		w.heavy = append(w.heavy, f)
	}
}

// putOff makes flows of what was taken and not done.
func (o owner) putOff() {
	w := &o.work
	if rest := w.inOrder.entries; len(rest) > 0 {
		o.mail.putOff(rest)
		for k := range rest {
			w.flows.add(&o.mail, rest[k], o.estimate(&rest[k]))
		}
		w.inOrder.entries = nil
	}
	if w.taken.entries != nil {
		o.mail.recycle(w.taken)
		w.taken = lane{}
	}
}

// estimate is about how many sends an entry takes.
func (o owner) estimate(e *entry) int {
	if e.kind != entryPublish && e.kind != entryDisband {
		return 1
	}
	if h := e.group.of(o.loop); h != nil {
		return h.size()
	}
	return 0
}

// serveFlows does a turn of what was put off: half of it for light flows, if there are so
// many, so that they get nowhere near the time of the others; and the rest for whoever
// is there.
func (o owner) serveFlows() {
	w := &o.work
	half := w.left / 2
	o.serveLight(half)
	for w.left > 0 {
		f := next(&w.heavy)
		if f == nil {
			break
		}
		w.stop = max(0, w.left-flowPerTurn)
		if o.serveFlow(f); len(f.entries) > 0 {
			w.heavy = append(w.heavy, f)
		}
	}
	o.serveLight(0)
}

// serveLight serves light flows until so much of the turn is left.
func (o owner) serveLight(until int) {
	w := &o.work
	for w.left > until {
		f := next(&w.light)
		if f == nil {
			return
		}
		if f.sends > lightFlow {
			w.heavy = append(w.heavy, f)
			continue
		}
		w.stop = until
		if o.serveFlow(f); len(f.entries) > 0 {
			w.light = append(w.light, f)
		}
	}
}

// serveFlow serves a flow until others have their turn.
func (o owner) serveFlow(f *flow) {
	w := &o.work
	for w.serving = f; len(f.entries) > 0 && w.left > w.stop; {
		o.serve(f)
	}
	w.serving = nil
}

// serve does what is first in f, and what can be done in the same go.
func (o owner) serve(f *flow) {
	w := &o.work
	if k := f.entries[0].kind; k == entryPublish || k == entryDisband {
		w.begun = f
		n, done := o.answerMany(f.entries)
		w.begun = nil
		if done {
			o.pop(f, n)
		}
		return
	}
	run := f.entries[:o.runOf(f.entries)]
	o.pop(f, len(run))
	o.answer(run)
	clear(run)
}

// pop takes the first n entries out of f: they are done, or about to be.
func (o owner) pop(f *flow, n int) {
	if f != &o.work.inOrder {
		o.mail.done(f.entries[:n])
	}
	if f.entries = f.entries[n:]; len(f.entries) == 0 && f != &o.work.inOrder {
		o.work.flows.end(f)
	}
}

// drop returns what is left of the work, and forgets it.
func (w *work) drop() (undone []entry) {
	undone = w.inOrder.entries
	for _, f := range w.flows.of {
		undone = append(undone, f.entries...)
		f.entries = nil // it may be there for several parties
	}
	*w = work{}
	return undone
}
