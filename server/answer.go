//go:build linux

package server

import (
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/poller"
)

// This file is what a loop does about its mailbox.

// Mail does what other goroutines asked for, in the order they asked.
func (l *loop) Mail() {
	l.answerAll() // what a pass has left that did not come to its end
	l.taken = l.mail.take()
	l.answerAll()
}

// answerAll does what was taken from the mailbox, and gives the memory back.
func (l *loop) answerAll() {
	if l.taken.entries == nil {
		return
	}
	if l.walking != nil {
		l.nextTaken-- // its members have not all got it
	}
	for l.nextTaken < len(l.taken.entries) {
		k := l.nextTaken
		l.nextTaken++
		l.nextTaken = k + l.answer(l.taken.entries[k:], l.taken.data)
	}
	l.mail.recycle(l.taken)
	l.taken, l.nextTaken = lane{}, 0
}

// answer does the first of the entries, and those behind it that can be done in
// the same go. It returns how many that were.
func (l *loop) answer(entries []entry, data []byte) int {
	e := &entries[0]
	if e.kind == entryPublish {
		return l.publishRun(entries)
	}
	if e.kind == entryJobDone {
		l.takeJob(e.tok)
		return 1
	}
	s, ok := l.Find(e.tok)
	if !ok {
		return 1
	}
	l.DealWith(s)
	switch e.kind {
	case entrySend, entryPrepared, entryPong:
		if takesPosts(s) {
			return l.deliverRun(s, entries, data)
		}
	case entryClose:
		if takesPosts(s) {
			l.endAsAsked(s, e, data)
		}
	case entryVerdict:
		if table[s.Data().facts.state()][verdict].do == decide {
			l.door.decide(s, e.err)
		}
	case entryJoin:
		if takesPosts(s) {
			l.join(s, e.group)
		}
	case entryLeave:
		l.leave(s, e.group)
	}
	return 1
}

// endAsAsked carries out an entryClose.
func (l *loop) endAsAsked(s link, e *entry, data []byte) {
	cause := e.err.(*CloseError)
	if e.from == e.to {
		l.conclude(s, nil, cause)
		return
	}
	l.end(s, data[e.from:e.to], cause)
}

// deliverRun sends what is queued in a row for one connection in one go, up to what one
// send takes. If its outbox is in use there is no send: it takes them one by one, as many
// as it has room for.
func (l *loop) deliverRun(s link, entries []entry, data []byte) int {
	waits := s.Waiting() > 0
	fan, n, said := l.fan[plain][:0], 0, 0
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
	l.deliver(s, fan, said)
	l.fan[plain] = fan
	l.keepFan()
	return n
}

// publishRun sends what is queued in a row for one group: each member gets it in
// one send.
func (l *loop) publishRun(entries []entry) int {
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
			out[k] = merged(&l.fan[k], entries[:n], w)
		}
	}
	l.fanOut(g, n, out)
	l.keepFan()
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

func (l *loop) keepFan() {
	size := 0
	for _, b := range l.fan {
		size += cap(b)
	}
	if size > keepDirect {
		clear(l.fan[:])
	}
}
