//go:build linux

package server

import (
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/poller"
	"github.com/usher-ws/usher/stream"
)

// walk is a visit to all members that a group has on a loop. It takes as many turns as it
// needs; what was asked for after it waits meanwhile, and members that join then are not
// visited.
type walk struct {
	shard *shard // nil: there is none
	at    int    // how many of its places are done with

	// What a member is sent, n messages in each encoding; or else how it ends.
	n   int
	out [encodings][]byte
	end *CloseError
}

// publishRun begins to send what is queued in a row for one group: each member gets it in
// one send. It returns how many entries that were.
func (o owner) publishRun(entries []entry) int {
	g, n, size := entries[0].group, 0, 0
	for n < len(entries) && entries[n].kind == entryPublish && entries[n].group == g {
		if size += len(entries[n].prepared.Bytes()); n > 0 && size > poller.SendLimit {
			break
		}
		n++
	}
	w := walk{n: n}
	for k, window := range g.windowsNow() {
		w.out[k] = w.out[plain]
		if k == plain || window != 0 {
			w.out[k] = merged(entries[:n], window)
		}
	}
	o.begin(g, w)
	return n
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

// disband begins to close the members of g that are on this loop, each as Conn.Close would:
// jobs that have not begun are dropped.
func (o owner) disband(g *Group, e *CloseError) { o.begin(g, walk{end: e}) }

// begin begins a walk.
func (o owner) begin(g *Group, w walk) {
	h := g.of(o.loop)
	if h == nil || h.index == 0 {
		return
	}
	h.tidy()
	w.shard = h
	o.groups.walk = w
}

// walkOn goes on with the walk under way, if there is one, also if a callback has ended the
// goroutine in the middle of it. It reports false if the turn has ended before.
func (o owner) walkOn() (done bool) {
	w := &o.groups.walk
	if w.shard == nil {
		return true
	}
	o.busy.Store(0) // what follows is no callback's doing
	for w.at < len(w.shard.sorted) {
		if o.turn.isOver() {
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
	h := w.shard
	*w = walk{}
	if h.size() == 0 {
		*h = shard{index: h.index}
		o.groups.forget(h)
	}
	return true
}

// visitMember does for one member what a walk is for.
func (o owner) visitMember(s link, w *walk) {
	if w.end != nil {
		o.turn.take(0)
		s.Mark(closeAsked)
		o.conclude(s, nil, w.end)
		return
	}
	b := w.out[encodingFor(s.Data().frame.Window())]
	o.turn.take(len(b))
	o.deliver(s, b, w.n, stream.Part{B: b})
}
