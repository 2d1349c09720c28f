//go:build linux

package stream

import (
	"io"

	"github.com/usher-ws/usher/poller"
	"github.com/usher-ws/usher/record"
	"golang.org/x/sys/unix"
)

// This file is TLS behind the handshake (securing.go): records come in, are opened where they
// lie, and go out sealed. An idle stream keeps its record.Conn and nothing else.

// cipherSlots is how many streams of a loop, by their slots, have their expanded ciphers kept
// until another takes the place: 1.6 KB each. Making them anew costs a microsecond.
const cipherSlots = 512

// secureSlots is for how many slots record.Conns are allocated together, 152 KiB, which is whole
// pages. Memory that was used before is cleared whole, so that of larger ones all is touched for a
// few; and each is an object for the garbage collector to look at.
const secureSlots = 1024

// secure is what a loop has for TLS.
type secure struct {
	conns   []*[secureSlots]record.Conn // by slot
	ciphers *[cipherSlots]record.Ciphers
	sealed  []byte   // records on their way out, of every stream in turn
	untold  []uint64 // the tokens of streams that are Untold
	securing
}

// conn returns what TLS keeps of stream i, or nil if it is in the clear, so far.
func (t *secure) conn(i uint32) *record.Conn {
	if k := int(i / secureSlots); k < len(t.conns) && t.conns[k] != nil {
		if c := &t.conns[k][i%secureSlots]; c.Version() != 0 {
			return c
		}
	}
	return nil
}

// add begins to keep a connection of stream i.
func (t *secure) add(i uint32, c *record.Conn) {
	k := int(i / secureSlots)
	for len(t.conns) <= k {
		t.conns = append(t.conns, nil)
	}
	if t.conns[k] == nil {
		t.conns[k] = new([secureSlots]record.Conn)
	}
	if t.ciphers == nil {
		t.ciphers = new([cipherSlots]record.Ciphers)
	}
	t.conns[k][i%secureSlots] = *c
}

// remove forgets the secrets of stream i.
func (t *secure) remove(i uint32) {
	if c := t.conn(i); c != nil {
		c.Clear()
		t.ciphersOf(i).Clear()
	}
}

// forget drops all expanded ciphers, which comes once a second: those that are used are made anew,
// and those of streams that have become idle neither stay nor hold up the heap they lie in, which
// is full of handshakes of the past.
func (t *secure) forget() {
	if t.ciphers != nil {
		*t.ciphers = [cipherSlots]record.Ciphers{}
	}
}

// ciphersOf are for stream i, though they may be another's so far.
func (t *secure) ciphersOf(i uint32) *record.Ciphers { return &t.ciphers[i%cipherSlots] }

// hasEnded reports whether nothing follows what was sealed, or is to be sent in the clear.
func (t *secure) hasEnded(i uint32) bool {
	c := t.conn(i)
	return c == nil || c.SaidEnd()
}

// sealed is what few secure streams need.
type sealed struct {
	shake *negotiation // that is under way
	in    []byte       // the beginning of a record, lent by Buffers
	out   []byte       // what the kernel has not taken of records, lent by Buffers
	end   error        // of what the peer says; nil if there is none so far

	isEarly bool // in came with the end of the handshake, and may hold whole records
	told    bool // the owner knows of the end
}

func (x *sealed) isZero() bool { return x.shake == nil && x.in == nil && x.out == nil && x.end == nil }

// size is the memory that Buffers counts.
func (x *sealed) size() int {
	n := cap(x.in) + cap(x.out)
	if x.shake != nil {
		n += handshakeSize
	}
	return n
}

// fault is what was wrong at the end; nil if it was the peer's close_notify.
func (x *sealed) fault() error {
	if x.end == io.EOF {
		return nil
	}
	return x.end
}

// readSealed is read for records.
func (l *Loop[T, X]) readSealed(i uint32, s *slot[T], c *record.Conn) bool {
	x := l.exts.get(s.ext)
	if x.sealed.isEarly {
		l.hearEarly(i, s, x)
		return true
	}
	before := len(x.sealed.in)
	n, errno := l.recv(s, before)
	switch {
	case n == 0 && errno == unix.EAGAIN:
		return false
	case n == 0 && errno != 0:
		l.release(i, s, errno)
	case n == 0 && x.sealed.end != nil: // whether that is known or not
		l.need(i, s).sealed.told = true
		l.handOver(i, s, nil)
	case n == 0:
		l.need(i, s).sealed.end = c.End()
		l.settle(i, s)
	case x.sealed.end != nil: // what follows is of no account
	default:
		l.hearRecords(i, s, c, before, n)
	}
	return true
}

// hearRecords opens the records that are complete with the n bytes that came behind those that
// were there before.
func (l *Loop[T, X]) hearRecords(i uint32, s *slot[T], c *record.Conn, before, n int) {
	if before > 0 {
		x := l.need(i, s)
		if size, _ := c.In.Size(x.sealed.in); before+n < size {
			x.sealed.in = l.Buffers.Append(x.sealed.in, l.buf[before:before+n])
			l.exts.rank(s.ext)
			l.relieve()
			return
		}
		copy(l.buf, x.sealed.in)
	}
	l.openRecords(i, s, c, l.buf[:before+n])
}

// openRecords hands over what is in the records of b, and keeps the beginning of one that is
// not whole.
func (l *Loop[T, X]) openRecords(i uint32, s *slot[T], c *record.Conn, b []byte) {
	data, n, err := c.Read(l.secure.ciphersOf(i), b)
	if err != nil {
		n = len(b)
		l.need(i, s).sealed.end = err
	}
	if rest := b[n:]; len(rest) > 0 || s.ext != 0 {
		x := l.need(i, s)
		if x.sealed.in = l.Buffers.Append(x.sealed.in[:0], rest); len(rest) == 0 {
			l.Buffers.Put(x.sealed.in)
			x.sealed.in = nil
			l.trim(s)
		}
	}
	if len(data) > 0 {
		l.handOver(i, s, data)
	} else {
		l.settle(i, s)
	}
}

// handOver tells the owner what was read.
func (l *Loop[T, X]) handOver(i uint32, s *slot[T], b []byte) {
	call := l.enter(i, s)
	l.handler.Input(l.of(i, s), b, len(b) == 0)
	l.leave(i, s, call)
}

// isUntold reports whether there is something that the owner has yet to be told.
func (x *sealed) isUntold() bool { return x.isEarly || x.end != nil && !x.told }

// isTellable reports whether nothing is in the way of telling the owner what it has yet to be
// told.
func (l *Loop[T, X]) isTellable(s *slot[T]) bool {
	if s.ext == 0 || s.state != Flowing && s.state != Held || s.why&^Backlog != 0 {
		return false
	}
	x := l.exts.get(s.ext)
	return x.sealed.isUntold() && (x.outbox.waiting == 0 || l.isReadOn(x))
}

// tellAll tells the owners of streams that nothing holds any more what they have yet to be told:
// of an end, or what came with the end of the handshake. It has a pass of its own, since a stream
// may be held when it comes.
func (l events[T, X]) tellAll() {
	t := &l.secure
	for n := len(t.untold); n > 0; n-- {
		tok := t.untold[0]
		if t.untold = t.untold[1:]; len(t.untold) == 0 {
			t.untold = nil
		}
		i, s := l.slab.find(tok)
		if s == nil {
			continue
		}
		l.at = i
		if s.why &^= Untold; !l.isTellable(s) {
			l.settle(i, s)
			continue
		}
		s.state, s.why = Flowing, 0
		if x := l.need(i, s); x.sealed.isEarly {
			l.hearEarly(i, s, x)
		} else {
			x.sealed.told = true
			l.handOver(i, s, nil)
		}
	}
}

// hearEarly opens what came with the end of the handshake.
func (l *Loop[T, X]) hearEarly(i uint32, s *slot[T], x *ext[X]) {
	n := copy(l.buf, x.sealed.in)
	l.dropBeginning(&x.sealed)
	l.openRecords(i, s, l.secure.conn(i), l.buf[:n])
}

// sealedAtOnce is how much is sealed to be sent at once. What the kernel does not take of that it
// has no room for, as it is less than poller.SendLimit, and it waits sealed, for this stream alone,
// though it may be a part that thousands share.
const sealedAtOnce = 4 * record.MaxContent

// give gives b to the kernel, and returns how much of it is done with, and whether there is no
// room for more; ok is false if that has ended the stream. Of a secure stream all is done with that was sealed: it has its place among
// the records, and waits as it is. Behind the last bytes goes the alert that ends the records.
func (l *Loop[T, X]) give(i uint32, s *slot[T], b []byte, isLast bool) (n int, full, ok bool) {
	c := l.secure.conn(i)
	if c == nil {
		n, ok = l.send(i, s, b)
		return n, n < min(len(b), poller.SendLimit), ok
	}
	ciphers := l.secure.ciphersOf(i)
	n = min(len(b), sealedAtOnce)
	out, err := c.Append(ciphers, l.secure.sealed[:0], b[:n])
	if err == nil && isLast && n == len(b) {
		out, err = c.AppendEnd(ciphers, out, l.exts.get(s.ext).sealed.fault())
	}
	if l.secure.sealed = out[:0]; err != nil {
		l.release(i, s, err)
		return 0, false, false
	}
	sent, ok := l.send(i, s, out)
	if ok && sent < len(out) {
		x := l.beginWaiting(i, s)
		x.sealed.out = l.Buffers.Append(nil, out[sent:])
		x.outbox.waiting += len(out) - sent
		l.exts.rank(s.ext)
		return n, true, true
	}
	return n, false, ok
}

// sayEnd answers the end of what a peer of a stream says that is about to be closed, if nothing
// waits: by close_notify, or the alert that tells it what was wrong.
func (l *Loop[T, X]) sayEnd(i uint32, s *slot[T]) {
	c, x := l.secure.conn(i), l.exts.get(s.ext)
	if c == nil || c.SaidEnd() || x.sealed.end == nil || x.outbox.waiting > 0 || s.flags&deaf != 0 {
		return
	}
	out, err := c.AppendEnd(l.secure.ciphersOf(i), l.secure.sealed[:0], x.sealed.fault())
	if l.secure.sealed = out[:0]; err == nil && len(out) > 0 {
		_, _ = l.wire.send(int(s.fd), out, true)
	}
}

// flushSealed is flushSome for records.
func (l *Loop[T, X]) flushSealed(i uint32, s *slot[T], x *ext[X]) (n int, full, ok bool) {
	out := x.sealed.out
	if n, ok = l.send(i, s, out); !ok {
		return n, false, false
	}
	x.outbox.waiting -= n
	if n < len(out) {
		x.sealed.out = out[:copy(out, out[n:])]
		return n, true, true
	}
	l.Buffers.Put(out)
	x.sealed.out = nil
	if s.state == Finishing && x.outbox.waiting == 0 && !l.secure.hasEnded(i) {
		_, full, ok = l.give(i, s, nil, true)
	}
	return n, full, ok
}
