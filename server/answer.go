//go:build linux

package server

import (
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/poller"
)

// This file is what a loop does about its mailbox.

// Wake does what other goroutines asked for, in the order they asked.
func (l *loop) Wake() {
	l.readClock()
	taken, adopted := l.mail.take()
	for _, a := range adopted {
		l.adopt(a)
	}
	for k := 0; k < len(taken.entries); {
		k += l.answer(taken.entries[k:], taken.data)
	}
	l.mail.recycle(taken, adopted)
	l.takeTurns()
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
	if s == nil {
		return 1
	}
	switch e.kind {
	case entrySend, entryPrepared:
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
		if table[s.state][post].do == deliver {
			l.join(i, s, e.group)
		}
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
	l.fan = l.fan[:0]
	n := 0
	for n < len(entries) && entries[n].tok == entries[0].tok && entries[n].kind <= entryPrepared {
		b := data[entries[n].from:entries[n].to]
		if p := entries[n].prepared; p != nil {
			b = encoding(p, s.frame.Deflate())
		}
		if n > 0 && (waits || len(l.fan)+len(b) > poller.SendLimit) {
			break
		}
		l.fan = append(l.fan, b...)
		n++
	}
	l.deliver(i, s, l.fan, n)
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
	plain := l.merged(&l.fan, entries[:n], false)
	deflated := plain
	if l.srv.Deflate {
		deflated = l.merged(&l.fanDeflated, entries[:n], true)
	}
	l.fanOut(g, n, plain, deflated)
	l.keepFan()
	return n
}

// merged returns the messages of entries one behind the other, in *buf if there is
// more than one.
func (l *loop) merged(buf *[]byte, entries []entry, deflated bool) []byte {
	if len(entries) == 1 {
		return encoding(entries[0].prepared, deflated)
	}
	b := (*buf)[:0]
	for _, e := range entries {
		b = append(b, encoding(e.prepared, deflated)...)
	}
	*buf = b
	return b
}

// encoding is how p goes to a connection that has negotiated permessage-deflate or
// has not.
func encoding(p *frame.Prepared, deflated bool) []byte {
	if deflated {
		return p.Deflated()
	}
	return p.Bytes()
}

func (l *loop) keepFan() {
	if cap(l.fan)+cap(l.fanDeflated) > keepDirect {
		l.fan, l.fanDeflated = nil, nil
	}
}
