//go:build linux

package server

import (
	"github.com/usher-ws/usher/poller"
	"github.com/usher-ws/usher/stream"
)

// This file is what a loop does about what it has taken from its mailbox; work.go says when.

// answer does what is in run: one entry, or some that are sent to one connection. What is for
// all members of a group is in walk.go.
func (o owner) answer(run []entry) {
	e := &run[0]
	o.spend(0)
	switch e.kind {
	case entryJobDone:
		o.jobs.takeJob(e.tok)
		return
	case entryRelieved:
		o.relieve(e.tok)
		return
	case entryJoin, entryLeave:
		o.changeMember(e)
		return
	}
	s, ok := o.Find(e.tok)
	if !ok {
		return
	}
	o.DealWith(s)
	switch e.kind {
	case entrySend, entryPrepared, entryPong:
		if takesPosts(s) {
			o.deliverRun(s, run)
		}
	case entryClose:
		if takesPosts(s) {
			o.endAsAsked(s, e)
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
func (o owner) endAsAsked(s link, e *entry) {
	cause := e.err.(*CloseError)
	if e.framed == nil {
		o.conclude(s, nil, cause)
		return
	}
	o.end(s, e.framed, cause)
}

// runOf returns how many entries can be done in the same go as the first: what is sent to
// one connection in a row, up to what one send takes. If its outbox is in use there is no
// send: it takes them one by one, as many as it has room for.
func (o owner) runOf(entries []entry) (n int) {
	if entries[0].kind > entryPong {
		return 1
	}
	tok, size := entries[0].tok, 0
	s, ok := o.Find(tok)
	if !ok || s.Waiting() > 0 {
		return 1
	}
	for n < len(entries) && entries[n].tok == tok && entries[n].kind <= entryPong {
		if size += len(entries[n].frameFor(s)); n > 0 && size > poller.SendLimit {
			break
		}
		n++
	}
	return n
}

// frameFor returns what is sent to s.
func (e *entry) frameFor(s link) []byte {
	if e.prepared != nil {
		return e.prepared.Deflated(windowOf(s.Generation()))
	}
	return e.framed
}

// deliverRun sends what is queued in a row for one connection in one go.
func (o owner) deliverRun(s link, run []entry) {
	fan, parts, said := o.fan[:0], o.parts[:0], 0
	for k := range run {
		b := run[k].frameFor(s)
		if run[k].prepared != nil {
			parts = append(parts, stream.Part{From: len(fan), B: b})
		}
		fan = append(fan, b...)
		if run[k].kind != entryPong {
			said++
		}
	}
	o.turn.bytes += len(fan)
	o.deliver(s, fan, said, parts...)
	clear(parts)
	if o.fan, o.parts = fan, parts; cap(fan) > keepDirect {
		o.fan = nil
	}
}
