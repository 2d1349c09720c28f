//go:build linux

package server

import (
	"github.com/usher-ws/usher/poller"
	"github.com/usher-ws/usher/stream"
)

// This file is what a loop does about its mailbox.

// Mail does what other goroutines asked for, in the order they asked, as much as there is time
// for in a turn.
func (o owner) Mail() {
	o.turn = turn{}
	o.door.attendAll()
	o.turn = turn{}
	if o.answerAll() { // what earlier turns have left
		o.taken = o.mail.take()
		o.answerAll()
	}
	if o.suspended = o.taken.entries != nil; o.suspended {
		o.Wake() // behind the others
	}
}

// turn is what was done of the mail since the loop's connections last had theirs.
type turn struct{ deliveries, bytes int }

// The most there is in one turn: about a millisecond.
const (
	deliveriesPerTurn = 256
	mailBytesPerTurn  = 1 << 20
)

// isOver reports whether others are to have their turn.
func (t *turn) isOver() bool { return t.deliveries >= deliveriesPerTurn || t.bytes >= mailBytesPerTurn }

// take counts a delivery of n bytes.
func (t *turn) take(n int) {
	t.deliveries++
	t.bytes += n
}

// answerAll does what was taken from the mailbox and gives the memory back. It reports false
// if the turn has ended before.
func (o owner) answerAll() (done bool) {
	if o.taken.entries == nil {
		return true
	}
	for {
		if !o.walkOn() {
			return false
		}
		if o.nextTaken == len(o.taken.entries) {
			break
		}
		if o.turn.isOver() {
			return false
		}
		k := o.nextTaken
		o.nextTaken++
		o.nextTaken = k + o.answer(o.taken.entries[k:], o.taken.data)
	}
	o.mail.recycle(o.taken)
	o.taken, o.nextTaken = lane{}, 0
	return true
}

// answer does the first of the entries, and those behind it that can be done in
// the same go. It returns how many that were.
func (o owner) answer(entries []entry, data []byte) int {
	e := &entries[0]
	if e.kind == entryPublish {
		return o.publishRun(entries)
	}
	switch e.kind {
	case entryJobDone:
		o.jobs.takeJob(e.tok)
		return 1
	case entryDisband:
		o.disband(e.group, e.err.(*CloseError))
		return 1
	case entryJoin, entryLeave:
		o.changeMember(e)
		return 1
	}
	s, ok := o.Find(e.tok)
	if !ok {
		return 1
	}
	o.turn.take(0)
	o.DealWith(s)
	switch e.kind {
	case entrySend, entryPrepared, entryPong:
		if takesPosts(s) {
			return o.deliverRun(s, entries, data)
		}
	case entryClose:
		if takesPosts(s) {
			o.endAsAsked(s, e, data)
		}
	case entryVerdict:
		if table[s.Data().facts.state()][verdict].do == decide {
			o.door.decide(s, e.err)
		}
	case entryRun:
		if takesPosts(s) {
			o.visit(s, e.run)
		}
	}
	return 1
}

// changeMember carries out a Join or Leave. A connection whose peer has gone is a member until
// its jobs are done: its Close is yet to come, and Left behind it.
func (o owner) changeMember(e *entry) {
	s, ok := e.conn.mine("Group.Join")
	switch isUsers := ok && s.Data().facts.isUsers(); {
	case isUsers && e.kind == entryJoin:
		o.DealWith(s)
		o.groups.join(s, e.group)
	case isUsers:
		o.DealWith(s)
		o.groups.leave(s, e.group)
	case e.kind == entryJoin:
		o.tellLeft(nil, e.conn, e.group) // it came too late
	}
}

// endAsAsked carries out an entryClose.
func (o owner) endAsAsked(s link, e *entry, data []byte) {
	cause := e.err.(*CloseError)
	if e.from == e.to {
		o.conclude(s, nil, cause)
		return
	}
	o.end(s, data[e.from:e.to], cause)
}

// deliverRun sends what is queued in a row for one connection in one go, up to what one
// send takes. If its outbox is in use there is no send: it takes them one by one, as many
// as it has room for.
func (o owner) deliverRun(s link, entries []entry, data []byte) int {
	waits := s.Waiting() > 0
	fan, parts, n, said := o.fan[:0], o.parts[:0], 0, 0
	for n < len(entries) && entries[n].tok == entries[0].tok && entries[n].kind <= entryPong {
		b := data[entries[n].from:entries[n].to]
		p := entries[n].prepared
		if p != nil {
			b = p.Deflated(s.Data().frame.Window())
		}
		if n > 0 && (waits || len(fan)+len(b) > poller.SendLimit) {
			break
		}
		if p != nil {
			parts = append(parts, stream.Part{From: len(fan), B: b})
		}
		fan = append(fan, b...)
		if entries[n].kind != entryPong {
			said++
		}
		n++
	}
	o.turn.take(len(fan))
	o.deliver(s, fan, said, parts...)
	clear(parts)
	if o.fan, o.parts = fan, parts; cap(fan) > keepDirect {
		o.fan = nil
	}
	return n
}
