//go:build linux

package server

import (
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/poller"
)

// This file is what a loop does about what it has taken from its mailbox.

// answer does what is in run: one entry, or some that are sent to one connection.
func (o owner) answer(run []entry) {
	e := &run[0]
	switch e.kind {
	case entryJobDone:
		o.spend(0)
		o.jobs.takeJob(e.tok)
		return
	case entryRelieved:
		o.relieve(e.tok)
		return
	}
	o.spend(0)
	s, ok := o.Find(e.tok)
	switch {
	case e.kind == entryJoin && (!ok || !takesPosts(s)):
		o.tellLeft(nil, e.conn, e.group) // it came too late
		return
	case !ok:
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
	case entryJoin:
		o.groups.join(s, e.group)
	case entryRun:
		if takesPosts(s) {
			o.visit(s, e.run)
		}
	case entryLeave:
		o.groups.leave(s, e.group)
	}
}

// spend takes a send of n bytes off the turn.
func (w *work) spend(n int) { w.left -= 1 + n/sendWeight }

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
		return e.prepared.Deflated(s.Data().frame.Window())
	}
	return e.framed
}

// deliverRun sends what is queued in a row for one connection in one go.
func (o owner) deliverRun(s link, run []entry) {
	if len(run) == 1 {
		said := 1
		if run[0].kind == entryPong {
			said = 0
		}
		b := run[0].frameFor(s)
		o.spend(len(b))
		o.deliver(s, b, said)
		return
	}
	fan, said := o.fan[plain][:0], 0
	for k := range run {
		fan = append(fan, run[k].frameFor(s)...)
		if run[k].kind != entryPong {
			said++
		}
	}
	o.spend(len(fan))
	o.deliver(s, fan, said)
	o.fan[plain] = fan
	o.keepFan()
}

// answerMany does what is first in entries for all members of a group, as far as the turn
// goes, together with what can be done in the same go. It returns how many entries that
// are, and whether they are done.
func (o owner) answerMany(entries []entry) (n int, done bool) {
	if e := &entries[0]; e.kind == entryDisband {
		return 1, o.disband(e.group, e.err.(*CloseError))
	}
	return o.publishRun(entries)
}

// publishRun sends what is queued in a row for one group: each member gets it in
// one send.
func (o owner) publishRun(entries []entry) (n int, done bool) {
	g := entries[0].group
	h := g.of(o.loop)
	if h == nil {
		return 1, true
	}
	if n = h.merged; n == 0 { // else it is gone on with
		n = runOfGroup(entries)
	}
	var out [encodings][]byte
	for k, w := range g.windowsNow() {
		out[k] = out[plain]
		if k == plain || w != 0 {
			out[k] = merged(&o.fan[k], entries[:n], w)
		}
	}
	h.merged = n
	if done = o.fanOut(g, n, out); done {
		h.merged = 0
	}
	o.keepFan()
	return n, done
}

// runOfGroup returns how many entries are published to the same group as the first, in a
// row and up to what one send takes.
func runOfGroup(entries []entry) (n int) {
	for size := 0; n < len(entries) && entries[n].kind == entryPublish && entries[n].group == entries[0].group; n++ {
		if size += len(entries[n].prepared.Bytes()); n > 0 && size > poller.SendLimit {
			break
		}
	}
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
// encoding for its window, and reports whether all have had theirs.
func (o owner) fanOut(g *Group, n int, out [encodings][]byte) (done bool) {
	return o.walk(g, func(s link) {
		b := out[encodingFor(s.Data().frame.Window())]
		o.spend(len(b))
		o.deliver(s, b, n)
	})
}

// walk calls f, which spends something, for each member of g on this loop that can be sent
// to, until it is the turn of others, and reports whether that were all. The next walk of g
// goes on where this one was, also if f ends the goroutine: until then nothing else is done
// for the group.
func (o owner) walk(g *Group, f func(link)) (done bool) {
	m := &o.groups
	h := g.of(o.loop)
	if h == nil || h.index == 0 {
		return true
	}
	o.busy.Store(0) // what follows is no callback's doing
	if !h.isWalked {
		h.tidy()
		h.isWalked, h.walked = true, 0
	}
	for m.walking = h; h.walked < len(h.sorted); {
		if o.left <= o.stop {
			m.walking = nil
			return false
		}
		i := h.sorted[h.walked]
		h.walked++
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
	h.isWalked = false
	if h.size() == 0 {
		*h = shard{index: h.index}
		m.forget(h)
	}
	return true
}

// disband closes the members of g that are on this loop, as walk does.
func (o owner) disband(g *Group, e *CloseError) (done bool) {
	return o.walk(g, func(s link) {
		o.spend(0)
		o.conclude(s, nil, e)
	})
}
