//go:build linux

package server

import (
	"slices"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/poller"
	"github.com/usher-ws/usher/stream"
)

// walk is a visit to all members that a group has on a loop. It takes as many turns as it
// needs; what was asked for after it and has to do with the group waits meanwhile, and
// members that join then are not visited. But what is published next goes along, from where
// the walk is: round after round, until each message has been at all places. So members get
// what was said in one round in one send, and nobody waits for a round that is not theirs.
type walk struct {
	shard *shard
	at    int      // how many places were visited, in all rounds
	on    []errand // in the order of their entries, which is that of their ends
	done  int      // entries that have been everywhere, and are still in the mail
	end   *CloseError

	// What the members are sent, in each encoding; nothing if they are closed.
	out      [encodings]parcel
	isPacked bool // out is what is on
}

// errand is an entry that a walk is for.
type errand struct {
	prepared *frame.Prepared // nil if the members are closed
	until    int             // what walk.at is then
}

// parcel is some messages one behind the other.
type parcel struct {
	b     []byte
	parts []stream.Part
	buf   []byte // that b is in if there are several
}

// answerAll does what is first in entries, which is for all members of a group, as far as
// the turn goes. It returns how many entries are done.
func (o owner) answerAll(entries []entry) (done int) {
	e := &entries[0]
	h := e.group.of(o.loop)
	if h == nil || h.index == 0 {
		return 1
	}
	if h.walk == nil {
		h.tidy()
		h.walk = o.groups.newWalk(h)
	}
	w := h.walk
	w.take(e.group, entries[w.done:])
	if o.walkOn(w, e.group); len(w.on) == 0 {
		return h.endWalk(&o.groups)
	}
	done, w.done = w.done, 0
	return done
}

// take takes those of entries along that are not yet, and can be: they are published one
// after the other to the group of the first, and one send takes them all.
func (w *walk) take(g *Group, entries []entry) {
	h, before := w.shard, len(w.on)
	if before == 0 && entries[0].kind == entryDisband {
		w.end = entries[0].err.(*CloseError)
		w.on = append(w.on, errand{until: len(h.sorted)})
		return
	}
	if w.end != nil || before > 0 && h.left > len(h.sorted)/2 { // it is time to tidy
		return
	}
	size := 0
	for k := range min(len(entries), maxRun-w.done) { // a flow shows no more, where it may go on
		e := &entries[k]
		if e.kind != entryPublish || e.group != g {
			break
		}
		if size += len(e.prepared.Bytes()); k > 0 && size > poller.SendLimit {
			break
		}
		if k >= before {
			w.on = append(w.on, errand{e.prepared, w.at + len(h.sorted)})
			w.isPacked = false
		}
	}
}

// pack makes the parcels of what is on its way.
func (w *walk) pack(g *Group) {
	w.isPacked = true
	for k, window := range g.windowsNow() {
		if p := &w.out[k]; k == plain || window != 0 {
			p.pack(w.on, window)
		} else {
			p.parts = p.parts[:0]
		}
	}
}

func (p *parcel) pack(on []errand, w frame.Window) {
	p.b, p.parts = p.buf[:0], p.parts[:0]
	for _, e := range on {
		b := e.prepared.Deflated(w)
		p.parts = append(p.parts, stream.Part{From: len(p.b), B: b})
		if len(on) == 1 {
			p.b = b
			return
		}
		p.b = append(p.b, b...)
	}
	p.buf = p.b
}

// walkOn goes on with a walk until the turn is over or nothing is on its way, also if a
// callback has ended the goroutine in the middle of it.
func (o owner) walkOn(w *walk, g *Group) {
	o.busy.Store(0) // what follows is no callback's doing
	for {
		w.unload()
		if len(w.on) == 0 || o.isOver() {
			return
		}
		if !w.isPacked && w.end == nil {
			w.pack(g)
		}
		i := w.shard.sorted[w.at%len(w.shard.sorted)]
		w.at++
		if i&hasLeft != 0 {
			continue
		}
		if s := o.At(i); takesPosts(s) {
			o.DealWith(s)
			o.visitMember(s, w)
		}
	}
}

// unload takes out what has been everywhere.
func (w *walk) unload() {
	n := 0
	for n < len(w.on) && w.on[n].until <= w.at {
		n++
	}
	if n > 0 {
		w.on = slices.Delete(w.on, 0, n)
		w.done += n
		w.isPacked = false
	}
}

// newWalk begins a walk through the places of h.
func (m *groups) newWalk(h *shard) *walk {
	w := m.spare
	if m.spare = nil; w == nil {
		w = new(walk)
	}
	w.shard = h
	return w
}

// endWalk ends the walk, and returns how many entries were done by it.
func (h *shard) endWalk(m *groups) (done int) {
	done = h.walk.done
	m.spare, h.walk = h.walk, nil
	m.spare.clear()
	if h.size == 0 {
		*h = shard{index: h.index}
		m.forget(h)
	}
	return done
}

// clear leaves nothing but the memory of w, as much of it as is worth keeping.
func (w *walk) clear() {
	*w = walk{on: w.on[:0], out: w.out}
	for k := range w.out {
		p := &w.out[k]
		clear(p.parts)
		p.b, p.parts = nil, p.parts[:0]
		if cap(p.buf) > poller.SendLimit {
			p.buf = nil
		}
	}
}

// visitMember does for one member what a walk is for.
func (o owner) visitMember(s link, w *walk) {
	if w.end != nil {
		o.spend(0)
		s.Mark(closeAsked) // as by Conn.Close: jobs that have not begun are dropped
		o.conclude(s, nil, w.end)
		return
	}
	p := &w.out[encodingFor(windowOf(s.Generation()))]
	if len(p.parts) == 0 {
		p = &w.out[plain]
	}
	o.spend(len(p.b))
	o.deliver(s, p.b, len(w.on), p.parts...)
}
