//go:build linux

package server

import (
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/poller"
)

// This file is what a loop does about its mailbox.

// Mail does what other goroutines asked for, in the order they asked.
func (o owner) Mail() {
	o.door.attendAll()
	o.answerAll() // what an unfinished pass has left
	o.taken = o.mail.take()
	o.answerAll()
}

// answerAll does what was taken from the mailbox and gives the memory back.
func (o owner) answerAll() {
	if o.taken.entries == nil {
		return
	}
	if o.groups.walking != nil {
		o.nextTaken-- // its members have not all got it
	}
	for o.nextTaken < len(o.taken.entries) {
		k := o.nextTaken
		o.nextTaken++
		o.nextTaken = k + o.answer(o.taken.entries[k:], o.taken.data)
	}
	o.mail.recycle(o.taken)
	o.taken, o.nextTaken = lane{}, 0
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
	}
	s, ok := o.Find(e.tok)
	switch {
	case e.kind == entryJoin && (!ok || !takesPosts(s)):
		o.tellLeft(nil, e.conn, e.group) // it came too late
		return 1
	case !ok:
		return 1
	}
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
	case entryJoin:
		o.groups.join(s, e.group)
	case entryRun:
		if takesPosts(s) {
			o.visit(s, e.run)
		}
	case entryLeave:
		o.groups.leave(s, e.group)
	}
	return 1
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
	fan, n, said := o.fan[plain][:0], 0, 0
	for n < len(entries) && entries[n].tok == entries[0].tok && entries[n].kind <= entryPong {
		b := data[entries[n].from:entries[n].to]
		if p := entries[n].prepared; p != nil {
			b = p.Deflated(s.Data().frame.Window())
		}
		if n > 0 && (waits || len(fan)+len(b) > poller.SendLimit) {
			break
		}
		fan = append(fan, b...)
		if entries[n].kind != entryPong {
			said++
		}
		n++
	}
	o.deliver(s, fan, said)
	o.fan[plain] = fan
	o.keepFan()
	return n
}

// publishRun sends what is queued in a row for one group: each member gets it in
// one send.
func (o owner) publishRun(entries []entry) int {
	g, n, size := entries[0].group, 0, 0
	for n < len(entries) && entries[n].kind == entryPublish && entries[n].group == g {
		if size += len(entries[n].prepared.Bytes()); n > 0 && size > poller.SendLimit {
			break
		}
		n++
	}
	var out [encodings][]byte
	for k, w := range g.windowsNow() {
		out[k] = out[plain]
		if k == plain || w != 0 {
			out[k] = merged(&o.fan[k], entries[:n], w)
		}
	}
	o.fanOut(g, n, out)
	o.keepFan()
	return n
}

// merged returns the messages of entries one behind the other, in *buf if there is
// more than one.
func merged(buf *[]byte, entries []entry, w frame.Window) []byte {
	if len(entries) == 1 {
		return entries[0].prepared.Deflated(w)
	}
	b := (*buf)[:0]
	for _, e := range entries {
		b = append(b, e.prepared.Deflated(w)...)
	}
	*buf = b
	return b
}

func (o owner) keepFan() {
	size := 0
	for _, b := range o.fan {
		size += cap(b)
	}
	if size > keepDirect {
		clear(o.fan[:])
	}
}

// fanOut sends n messages of a group to its members on this loop, to each in the
// encoding for its window.
func (o owner) fanOut(g *Group, n int, out [encodings][]byte) {
	o.walk(g, func(s link) { o.deliver(s, out[encodingFor(s.Data().frame.Window())], n) })
}

// walk calls f for each member of g on this loop that can be sent to. If f ends the
// goroutine the next walk goes on where it was.
func (o owner) walk(g *Group, f func(link)) {
	m := &o.groups
	h := g.of(o.loop)
	if h == nil || h.index == 0 {
		return
	}
	o.busy.Store(0)       // what follows is no callback's doing
	if m.walking == nil { // else it is gone on with
		h.tidy()
		m.walking, m.walked = h, 0
	}
	for m.walked < len(h.sorted) {
		i := h.sorted[m.walked]
		m.walked++
		if i&hasLeft != 0 {
			continue
		}
		s := o.At(i)
		o.DealWith(s)
		if takesPosts(s) {
			f(s)
		}
	}
	m.walking = nil
	if h.size() == 0 {
		*h = shard{index: h.index}
		m.forget(h)
	}
}

// disband closes the members of g that are on this loop.
func (o owner) disband(g *Group, e *CloseError) {
	o.walk(g, func(s link) { o.conclude(s, nil, e) })
}
