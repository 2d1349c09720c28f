//go:build linux

package server

// This file is when a loop does what it has taken from its mailbox: as it came, as far as a
// turn goes. What is left goes on in the next turns, by flows that take turns themselves, so
// that whatever one connection asks for, the others wait for a moment only.

// turn is what was done of the mail since the loop's connections last had theirs.
type turn struct{ deliveries, bytes int }

// The most there is in one turn: about 0.1 ms.
const (
	deliveriesPerTurn = 8
	mailBytesPerTurn  = 1 << 20
)

// putOffPerTurn is how many entries are made flows of in a turn: that takes about as long.
const putOffPerTurn = 2048

const (
	// lightFlow is how many deliveries a flow may have and still go before the others.
	lightFlow = 16

	// flowShare is which part of a turn another flow has before it is the turn of the
	// next. It is large, so that flows that began together do not all end together.
	flowShare = 2
)

// work is what a loop has taken from its mailbox and has not done.
type work struct {
	taken   lane
	inOrder []entry // what is left of taken
	flows
	serving *flow   // that is in no list, as its turn is
	run     []entry // of a flow: lent to serveFlow
	turn    turn
	until   turn // when there is as much in turn, it is the turn of others
}

// spend takes a delivery of n bytes off the turn.
func (w *work) spend(n int) {
	w.turn.deliveries++
	w.turn.bytes += n
}

// isOver reports whether others are to have their turn.
func (w *work) isOver() bool {
	return w.turn.deliveries >= w.until.deliveries || w.turn.bytes >= w.until.bytes
}

// share sets the end of a flow's part of the turn, which is the nth, and reports whether
// there is one.
func (w *work) share(nth int) bool {
	w.until = turn{deliveriesPerTurn, mailBytesPerTurn}
	if w.isOver() {
		return false
	}
	w.until.deliveries = min(w.until.deliveries, w.turn.deliveries+deliveriesPerTurn/nth)
	w.until.bytes = min(w.until.bytes, w.turn.bytes+mailBytesPerTurn/nth)
	return true
}

// Mail does what others asked for, for a turn.
func (o owner) Mail() {
	o.door.attendAll()
	w := &o.work
	w.turn = turn{}
	if f := w.serving; f != nil { // a callback has ended the goroutine
		w.serving = nil
		w.heavy = append(w.heavy, f)
	}
	if len(w.inOrder) == 0 {
		w.taken = o.mail.take()
		w.inOrder = w.taken.entries
	}
	for w.share(1); len(w.inOrder) > 0 && !w.isOver() && len(w.flows.of) == 0; {
		o.serve(w.inOrder, nil)
	}
	o.putOff()
	o.serveFlows()
	o.settle()
}

// settle ends a turn.
func (o owner) settle() {
	var more bool
	if o.relieved, more = o.mail.settle(o.relieved[:0], o.work.taken.charged); more {
		o.Again() // behind the others
	}
	for _, p := range o.relieved {
		if p.loop == o.loop {
			o.relieve(p.tok)
		} else {
			p.loop.mail.tell(entryRelieved, p.tok, nil)
		}
	}
}

// putOff makes flows of what was taken and not done.
func (o owner) putOff() {
	w := &o.work
	n := min(len(w.inOrder), putOffPerTurn)
	rest := w.inOrder[:n]
	w.inOrder = w.inOrder[n:]
	o.mail.putOff(rest)
	for k := range rest {
		if e := &rest[k]; e.kind == entryRelieved { // no order matters
			o.mail.done(rest[k : k+1])
			o.relieve(e.tok)
			continue
		}
		w.flows.add(&o.mail, rest[k], o.weigh(&rest[k]))
	}
	if w.taken.entries != nil && len(w.inOrder) == 0 {
		o.mail.recycle(w.taken)
		w.taken, w.inOrder = lane{}, nil
	}
}

// weigh is about how many deliveries an entry takes.
func (o owner) weigh(e *entry) int {
	if !e.isForAll() {
		return 1
	}
	if h := e.group.of(o.loop); h != nil {
		return h.size
	}
	return 0
}

// isForAll reports whether e is for all members of a group.
func (e *entry) isForAll() bool { return e.kind == entryPublish || e.kind == entryDisband }

// serveFlows does a turn of what was put off: light flows first, in half of the turn, and
// the others in what is left.
func (o owner) serveFlows() {
	w := &o.work
	o.serveLight(2)
	for w.share(flowShare) {
		f := next(&w.heavy)
		if f == nil {
			break
		}
		if o.serveFlow(f); f.first != nil {
			w.heavy = append(w.heavy, f)
		}
	}
	o.serveLight(1)
}

// serveLight serves light flows for the nth part of the turn.
func (o owner) serveLight(nth int) {
	w := &o.work
	for ok := w.share(nth); ok && !w.isOver(); {
		f := next(&w.light)
		switch {
		case f == nil:
			return
		case f.weight > lightFlow:
			w.heavy = append(w.heavy, f)
			continue
		}
		if o.serveFlow(f); f.first != nil {
			w.light = append(w.light, f)
		}
	}
}

// serveFlow serves a flow until others have their turn.
func (o owner) serveFlow(f *flow) {
	w := &o.work
	for w.serving = f; f.first != nil && !w.isOver(); {
		w.run = f.run(w.run[:0])
		o.serve(w.run, f)
		clear(w.run)
	}
	w.serving = nil
}

// serve does what is first in entries, and what can be done in the same go. They are what is
// first in a flow, or else in what was taken.
func (o owner) serve(entries []entry, of *flow) {
	if entries[0].isForAll() {
		o.pop(entries[:o.answerAll(entries)], of)
		return
	}
	run := entries[:o.runOf(entries)]
	o.pop(run, of) // what does not return is not done again
	o.answer(run)
	clear(run)
}

// pop takes the first entries out of a flow, or else out of what was taken.
func (o owner) pop(first []entry, of *flow) {
	w := &o.work
	if of == nil {
		w.inOrder = w.inOrder[len(first):]
		for k := range first { // loop.concerns asks what is left of it
			w.taken.add(o.mail.payer(&first[k]), -1, -first[k].charged)
		}
		return
	}
	o.mail.done(first)
	if w.flows.forget(of, len(first)); of.first == nil {
		w.flows.end(of)
	}
}

// drop returns what is left of the work, and forgets it.
func (w *work) drop() (undone []entry) {
	undone = w.inOrder
	for _, f := range w.flows.of {
		for ; f.first != nil; f.first = f.first.next { // it may be there for several parties
			undone = append(undone, f.first.entry)
		}
	}
	*w = work{}
	return undone
}
