package frame

import (
	"bufio"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// finalBlock is an empty stored block that ends a stream. Behind flushTail it
// tells an end from a break.
const finalBlock = "\x01\x00\x00\xff\xff"

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
type inflater struct {
	src  source
	in   *bufio.Reader // over src; flate takes no byte too many of it
	z    io.Reader     // over in; a flate.Resetter too
	over [1]byte       // where a byte past the limit goes
}

// inflaters holds those at rest. One is taken for the time of a call, so there are
// no more at work than goroutines that inflate.
var inflaters = sync.Pool{New: func() any {
	z := new(inflater)
	z.in = bufio.NewReader(&z.src)
	z.z = flate.NewReader(z.in)
	return z
}}

// source yields a payload and what belongs behind it.
type source struct {
	payload []byte
	tail    string
	full    int // length of the tail
}

// Read implements io.Reader.
func (s *source) Read(b []byte) (n int, err error) {
	if len(s.payload) > 0 {
		n = copy(b, s.payload)
		s.payload = s.payload[n:]
		return n, nil
	}
	if s.tail == "" {
		return 0, io.EOF
	}
	n = copy(b, s.tail)
	s.tail = s.tail[n:]
	return n, nil
}

// open begins a message. Two things are let pass that senders are known to do: an
// empty message as no bytes at all, and leaving flushTail where it should have
// been taken off. The header bits and the padding before it are zeros, so a
// payload that ends in FF was not cut.
func (z *inflater) open(payload []byte) {
	tail := flushTail + finalBlock
	if n := len(payload) - len(flushTail); n == -len(flushTail) || n >= 0 && string(payload[n:]) == flushTail {
		tail = finalBlock
	}
	z.src = source{payload, tail, len(tail)}
	z.in.Reset(&z.src)
	z.begin()
}

// begin begins a stream of blocks at the next byte. Its window is empty.
func (z *inflater) begin() {
	_ = z.z.(flate.Resetter).Reset(z.in, nil) // never fails
}

// read reads some of the message; io.EOF is its end. A final block (BFINAL) ends a
// stream, not the message: what is left of the payload is another stream, RFC 7692
// §7.2.3.4.
func (z *inflater) read(b []byte) (n int, err error) {
	for {
		n, err = z.z.Read(b)
		if err != io.EOF || z.left() <= 0 {
			return n, err
		}
		z.begin()
		if n > 0 {
			return n, nil
		}
	}
}

// left returns how much of the payload is unread; less than 0 if it is all read
// and a part of the tail as well.
func (z *inflater) left() int {
	return z.in.Buffered() + len(z.src.payload) + len(z.src.tail) - z.src.full
}

// free gives z back without the payload.
func (z *inflater) free() {
	z.src = source{}
	inflaters.Put(z)
}
