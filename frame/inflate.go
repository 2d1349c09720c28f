package frame

import (
	"compress/flate"
	"io"
	"sync"
)

// finalBlock is an empty stored block that ends a stream. Behind flushTail it
// tells an end from a break.
const finalBlock = "\x01\x00\x00\xff\xff"

// Inflate makes the message of a DeflatedEvent, and returns the event that it is then: a
// MessageEvent, or an ErrorEvent if it is not well compressed, too large or no UTF-8. It is
// the one that NextEvent has returned, changed. Without a call the message is skipped: what
// is wrong with it does not matter then, and no other depends on it. Any other event is
// returned as it is.
func (p *Protocol) Inflate() *Event {
	if p.event.Kind == DeflatedEvent {
		payload := p.spent // nil if it is a part of the input
		p.spent = nil
		p.event = p.inflate(p.event.Opcode, p.event.Data)
		p.cfg.put(payload)
	}
	return &p.event
}

// inflate makes an event of the payload of a whole compressed message.
func (p *Protocol) inflate(op Opcode, payload []byte) Event {
	msg, err := p.cfg.inflate(payload)
	if err == nil && op == OpText && validUTF8(utf8Accept, msg) != utf8Accept {
		err = errText
	}
	if err != nil {
		p.cfg.put(msg)
		return p.fail(err)
	}
	p.spent = msg
	return Event{Kind: MessageEvent, Opcode: op, Data: msg}
}

// inflate returns the message that payload is compressed (RFC 7692 §7.2.2), in
// memory from Buffers, which is the caller's also after an error. It stops when
// the message passes the limit: the work is bounded by the limit and len(payload),
// whatever payload would become.
func (c *Config) inflate(payload []byte) (msg []byte, bad *ProtocolError) {
	z := inflaters.Get().(*inflater)
	defer z.free()
	z.open(payload)
	limit := c.limit()
	msg = c.get(int(min(limit, int64(max(minBuffer, 4*len(payload))))))
	for {
		if len(msg) == cap(msg) && int64(len(msg)) < limit {
			msg = c.grow(msg, 1, limit)
		}
		room := msg[len(msg):min(int64(cap(msg)), limit)]
		if len(room) == 0 {
			room = z.over[:]
		}
		n, err := z.read(room)
		if int64(len(msg)+n) > limit {
			return msg, errTooBig
		}
		msg = msg[:len(msg)+n]
		switch err {
		case nil:
		case io.EOF:
			return msg, nil
		default:
			return msg, errDeflate
		}
	}
}

// inflater reads one compressed message after the other. It has 41 KB.
//
// It stands on the standard library's reader: klauspost's keeps the tables of one block
// for the next, and through the pool of one client's message for another's
// (TestEmptyDistanceCode).
type inflater struct {
	src  source
	z    io.Reader // over src; a flate.Resetter too
	over [1]byte   // where a byte past the limit goes
}

// inflaters holds those at rest. One is taken for the time of a call, so there are
// no more at work than goroutines that inflate.
var inflaters = sync.Pool{New: func() any {
	z := new(inflater)
	z.z = flate.NewReader(&z.src)
	return z
}}

// source yields a payload and what belongs behind it. It is a flate.Reader, of which no
// byte too many is taken.
type source struct {
	payload []byte
	tail    string
	full    int // length of the tail
}

// ReadByte implements io.ByteReader.
func (s *source) ReadByte() (b byte, err error) {
	switch {
	case len(s.payload) > 0:
		b, s.payload = s.payload[0], s.payload[1:]
	case s.tail != "":
		b, s.tail = s.tail[0], s.tail[1:]
	default:
		err = io.EOF
	}
	return b, err
}

// Read implements io.Reader.
func (s *source) Read(b []byte) (n int, err error) {
	switch {
	case len(s.payload) > 0:
		n = copy(b, s.payload)
		s.payload = s.payload[n:]
	case s.tail != "":
		n = copy(b, s.tail)
		s.tail = s.tail[n:]
	default:
		err = io.EOF
	}
	return n, err
}

// left returns how much of the payload is unread; less than 0 if it is all read
// and a part of the tail as well.
func (s *source) left() int { return len(s.payload) + len(s.tail) - s.full }

// open begins a message. Two things that some senders do are accepted: an
// empty message as no bytes at all, and flushTail left where it should have
// been taken off. The header bits and the padding before it are zeros, so a
// payload that ends in FF was not cut.
func (z *inflater) open(payload []byte) {
	tail := flushTail + finalBlock
	if n := len(payload) - len(flushTail); n == -len(flushTail) || n >= 0 && string(payload[n:]) == flushTail {
		tail = finalBlock
	}
	z.src = source{payload, tail, len(tail)}
	z.begin()
}

// begin begins a stream of blocks at the next byte. Its window is empty.
func (z *inflater) begin() {
	_ = z.z.(flate.Resetter).Reset(&z.src, nil) // never fails
}

// read reads some of the message; io.EOF is its end. A final block (BFINAL) ends a
// stream, not the message: what is left of the payload is another stream, from the next
// byte on, RFC 7692 §7.2.3.4.
func (z *inflater) read(b []byte) (n int, err error) {
	for {
		n, err = z.z.Read(b)
		if err != io.EOF || z.src.left() <= 0 {
			return n, err
		}
		z.begin()
		if n > 0 {
			return n, nil
		}
	}
}

// free gives z back without the payload.
func (z *inflater) free() {
	z.src = source{}
	inflaters.Put(z)
}
