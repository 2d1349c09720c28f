//go:build linux

package server

import (
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/poller"
	"github.com/usher-ws/usher/stream"
)

// walk is a visit to all members that a group has on a loop. It takes as many turns as it
// needs; what was asked for after it and has to do with the group waits meanwhile, and
// members that join then are not visited.
type walk struct {
	shard   *shard
	at      int // how many of its places are done with
	entries int // how many are done by it

	// What a member is sent, n messages in each encoding; or else how it ends.
	n   int
	out [encodings][]byte
	end *CloseError
}

// answerAll does what is first in entries, which is for all members of a group, as far as
// the turn goes. It returns how many entries are done: some in a row that are published to
// one group are done together, each member gets them in one send.
func (o owner) answerAll(entries []entry) (done int) {
	e := &entries[0]
	h := e.group.of(o.loop)
	if h == nil || h.index == 0 {
		return 1
	}
	if h.walk == nil {
		h.tidy()
		h.walk = o.begin(h, entries)
	}
	if !o.walkOn(h.walk) {
		return 0
	}
	return h.endWalk(&o.groups)
}

// begin begins a walk.
func (o owner) begin(h *shard, entries []entry) *walk {
	g := entries[0].group
	if entries[0].kind == entryDisband {
		return &walk{shard: h, entries: 1, end: entries[0].err.(*CloseError)}
	}
	n, size := 0, 0
	for n < len(entries) && entries[n].kind == entryPublish && entries[n].group == g {
		if size += len(entries[n].prepared.Bytes()); n > 0 && size > poller.SendLimit {
			break
		}
		n++
	}
	w := &walk{shard: h, entries: n, n: n}
	for k, window := range g.windowsNow() {
		w.out[k] = w.out[plain]
		if k == plain || window != 0 {
			w.out[k] = merged(entries[:n], window)
		}
	}
	return w
}

// merged returns the messages of entries one behind the other, for good.
func merged(entries []entry, w frame.Window) []byte {
	if len(entries) == 1 {
		return entries[0].prepared.Deflated(w)
	}
	size := 0
	for _, e := range entries {
		size += len(e.prepared.Deflated(w))
	}
	b := make([]byte, 0, size)
	for _, e := range entries {
		b = append(b, e.prepared.Deflated(w)...)
	}
	return b
}

// walkOn goes on with a walk, also if a callback has ended the goroutine in the middle of it.
// It reports false if the turn has ended before.
func (o owner) walkOn(w *walk) (done bool) {
	o.busy.Store(0) // what follows is no callback's doing
	for w.at < len(w.shard.sorted) {
		if o.isOver() {
			return false
		}
		i := w.shard.sorted[w.at]
		w.at++
		if i&hasLeft != 0 {
			continue
		}
		if s := o.At(i); takesPosts(s) {
			o.DealWith(s)
			o.visitMember(s, w)
		}
	}
	return true
}

// endWalk ends the walk, and returns how many entries were done by it.
func (h *shard) endWalk(m *groups) (done int) {
	done, h.walk = h.walk.entries, nil
	if h.size() == 0 {
		*h = shard{index: h.index}
		m.forget(h)
	}
	return done
}

// visitMember does for one member what a walk is for.
func (o owner) visitMember(s link, w *walk) {
	if w.end != nil {
		o.spend(0)
		s.Mark(closeAsked) // as by Conn.Close: jobs that have not begun are dropped
		o.conclude(s, nil, w.end)
		return
	}
	b := w.out[encodingFor(s.Data().frame.Window())]
	o.spend(len(b))
	o.deliver(s, b, w.n, stream.Part{B: b})
}
