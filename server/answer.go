//go:build linux

package server

import (
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/poller"
)

// This file is what a loop does about its mailbox.

// Wake does what other goroutines asked for, in the order they asked.
func (l *loop) Wake() {
	defer l.survive()
	l.underWay, l.at = true, 0
	l.readClock()
	l.answerAll() // what a pass has left that did not come to its end
	l.taken, l.adopted = l.mail.take()
	l.answerAll()
	l.takeTurns()
	l.underWay = false
}

// answerAll does what was taken from the mailbox, and gives the memory back.
func (l *loop) answerAll() {
	if l.taken.entries == nil && l.adopted == nil {
		return
	}
	for l.nextAdopted < len(l.adopted) {
		l.nextAdopted++
		l.adopt(l.adopted[l.nextAdopted-1])
	}
	if l.walking != nil {
		l.nextTaken-- // its members have not all got it
	}
	for l.nextTaken < len(l.taken.entries) {
		k := l.nextTaken
		l.nextTaken++
		l.nextTaken = k + l.answer(l.taken.entries[k:], l.taken.data)
	}
	l.mail.recycle(l.taken, l.adopted)
	l.taken, l.adopted, l.nextTaken, l.nextAdopted = lane{}, nil, 0, 0
}

// answer does the first of the entries, and those behind it that can be done in
// the same go. It returns how many that were.
func (l *loop) answer(entries []entry, data []byte) int {
	e := &entries[0]
	if e.kind == entryPublish {
		return l.publishRun(entries)
	}
	if e.kind == entryJobDone {
		l.jobDone(e.tok)
		return 1
	}
	i, s := l.slab.find(e.tok)
	if e.kind == entryJoin && (s == nil || table[s.state][post].do != deliver) {
		l.joinedTooLate(e)
		return 1
	}
	if s == nil {
		return 1
	}
	l.at = i
	switch e.kind {
	case entrySend, entryPrepared, entryPong:
		if table[s.state][post].do == deliver {
			return l.deliverRun(i, s, entries, data)
		}
	case entryClose:
		if table[s.state][post].do == deliver {
			l.endAsAsked(i, s, e, data)
		}
	case entryVerdict:
		if table[s.state][verdict].do == decide {
			l.decide(i, s, e.err)
		}
	case entryJoin:
		l.join(i, s, e.group)
	case entryLeave:
		l.leave(i, s, e.group)
	}
	return 1
}

// endAsAsked carries out an entryClose.
func (l *loop) endAsAsked(i uint32, s *slot, e *entry, data []byte) {
	cause := e.err.(*CloseError)
	if e.from == e.to {
		l.conclude(i, s, nil, cause)
		return
	}
	l.end(i, s, data[e.from:e.to], cause)
}

// deliverRun sends what is queued in a row for one connection in one go, up to what one
// send takes. If its outbox is in use there is no send: it takes them one by one, as many
// as it has room for.
func (l *loop) deliverRun(i uint32, s *slot, entries []entry, data []byte) int {
	waits := len(l.exts.get(s).unsent()) > 0
	fan, n, said := l.fan[plain][:0], 0, 0
	for n < len(entries) && entries[n].tok == entries[0].tok && entries[n].kind <= entryPong {
		b := data[entries[n].from:entries[n].to]
		if p := entries[n].prepared; p != nil {
			b = p.Deflated(s.frame.Window())
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
	l.deliver(i, s, fan, said)
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
