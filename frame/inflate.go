package frame

import (
	"encoding/binary"
	"sync"
)

// finalBlock is an empty stored block that ends a stream. Behind flushTail it
// tells an end from a break.
const finalBlock = "\x01\x00\x00\xff\xff"

// What belongs behind a payload: the flush that its sender has taken off, and an end.
var tail = []byte(flushTail + finalBlock)

// inflate returns the message that payload is compressed (RFC 7692 §7.2.2), in
// memory from Buffers, which is the caller's also after an error. It stops when
// the message passes the limit: the work is bounded by the limit and len(payload),
// whatever payload would become.
func (c *Config) inflate(payload []byte) (msg []byte, bad *ProtocolError) {
	z := inflaters.Get().(*inflater)
	z.open(c, payload)
	bad = z.message()
	msg = z.msg
	z.close()
	inflaters.Put(z)
	return msg, bad
}

// inflater reads compressed messages, RFC 1951. Unlike klauspost's, it takes nothing
// from one message, or block, to the next, and knows where the output goes. It has 6 KB,
// which are the codes of a block.
type inflater struct {
	cfg   *Config
	limit int
	msg   []byte
	begin int // where the stream of blocks begins in msg: nothing refers to what is before

	in   []byte // the payload
	tail []byte // what belongs behind it
	at   int    // how many bytes of both are taken

	// The bits that are taken and not used yet, the next one lowest. Above the n bits
	// b may have more of the input, which is not counted as taken.
	b uint64
	n uint

	lengths             [numLiterals + numDistances]uint8
	literals, distances huffman
}

// inflaters holds those at rest. One is taken for the time of a call, so there are
// no more at work than goroutines that inflate.
var inflaters = sync.Pool{New: func() any { return new(inflater) }}

// open begins a message. Two things that some senders do are accepted: an
// empty message as no bytes at all, and flushTail left where it should have
// been taken off. The header bits and the padding before it are zeros, so a
// payload that ends in FF was not cut.
func (z *inflater) open(c *Config, payload []byte) {
	z.tail = tail
	if n := len(payload) - len(flushTail); n == -len(flushTail) || n >= 0 && string(payload[n:]) == flushTail {
		z.tail = tail[len(flushTail):]
	}
	limit := c.limit()
	z.cfg, z.limit = c, int(limit)
	z.msg, z.begin = c.get(int(min(limit, int64(max(minBuffer, 4*len(payload)))))), 0
	z.in, z.at, z.b, z.n = payload, 0, 0, 0
}

// close lets go of what is the caller's.
func (z *inflater) close() { z.cfg, z.msg, z.in = nil, nil, nil }

// message reads all. A final block (BFINAL) ends a stream, not the message: what is
// left of the payload is another stream, from the next byte on, RFC 7692 §7.2.3.4.
func (z *inflater) message() *ProtocolError {
	for {
		header, ok := z.take(3) // §3.2.3
		if !ok {
			return errDeflate
		}
		var bad *ProtocolError
		switch header >> 1 {
		case 0:
			bad = z.stored()
		case 1:
			bad = z.symbols(fixedLiterals, fixedDistances)
		case 2:
			if !z.codes() {
				return errDeflate
			}
			bad = z.symbols(&z.literals, &z.distances)
		default:
			return errDeflate
		}
		if bad != nil {
			return bad
		}
		if header&1 != 0 {
			z.align()
			if z.at >= len(z.in) {
				return nil
			}
			z.begin = len(z.msg)
		}
	}
}

// fill takes input until there are 48 bits, which are enough for a length and a
// distance, or all that there are.
func (z *inflater) fill() {
	if z.n >= 48 {
		return
	}
	if z.at+8 <= len(z.in) {
		z.b |= binary.LittleEndian.Uint64(z.in[z.at:]) << z.n
		z.at += int(63-z.n) / 8
		z.n |= 56
		return
	}
	for ; z.n < 48; z.n += 8 {
		switch k := z.at - len(z.in); {
		case k < 0:
			z.b |= uint64(z.in[z.at]) << z.n
		case k < len(z.tail):
			z.b |= uint64(z.tail[k]) << z.n
		default:
			return
		}
		z.at++
	}
}

// take returns the next n bits, at most 16; ok is false if there are fewer.
func (z *inflater) take(n uint) (v int, ok bool) {
	z.fill()
	if z.n < n {
		return 0, false
	}
	v = int(z.b & (1<<n - 1))
	z.b >>= n
	z.n -= n
	return v, true
}

// align goes to the next byte, and gives back what was taken behind it.
func (z *inflater) align() {
	z.at -= int(z.n / 8)
	z.b, z.n = 0, 0
}

// room returns how long the message may become without more memory, which is more
// than it is; 0 if it would pass the limit.
func (z *inflater) room() int {
	if len(z.msg) >= z.limit {
		return 0
	}
	if len(z.msg) == cap(z.msg) {
		z.msg = z.cfg.grow(z.msg, 1, int64(z.limit))
	}
	return min(cap(z.msg), z.limit)
}

// stored reads a block that is not compressed, §3.2.4.
func (z *inflater) stored() *ProtocolError {
	z.align()
	n, _ := z.take(16)
	not, ok := z.take(16)
	if !ok || n != ^not&0xFFFF {
		return errDeflate
	}
	z.align()
	for n > 0 {
		rest := z.tail[max(0, z.at-len(z.in)):]
		if z.at < len(z.in) {
			rest = z.in[z.at:]
		}
		if len(rest) == 0 {
			return errDeflate
		}
		room := z.room()
		if room == 0 {
			return errTooBig
		}
		k := copy(z.msg[len(z.msg):room], rest[:min(n, len(rest))])
		z.msg = z.msg[:len(z.msg)+k]
		z.at += k
		n -= k
	}
	return nil
}

// lengthOrder is the order of the lengths of the codes of lengths, §3.2.7.
var lengthOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// codes reads the codes of a block that has its own, §3.2.7.
func (z *inflater) codes() bool {
	counts, ok := z.take(14)
	numLit, numDist, numLen := counts&31+257, counts>>5&31+1, counts>>10+4
	if !ok || numLit > numLiterals || numDist > numDistances {
		return false
	}
	var of [len(lengthOrder)]uint8 // the lengths of the codes of the lengths of the codes
	for _, symbol := range lengthOrder[:numLen] {
		l, ok := z.take(3)
		if !ok {
			return false
		}
		of[symbol] = uint8(l)
	}
	if !z.distances.init(of[:]) { // for the time being
		return false
	}
	all := z.lengths[:numLit+numDist]
	for i := 0; i < len(all); {
		z.fill()
		e := z.distances.quick[z.b&z.distances.mask]
		l := uint(e & 15)
		if l == 0 || l > z.n {
			return false
		}
		z.b >>= l
		z.n -= l
		symbol := uint8(e >> 4)
		if symbol < 16 {
			all[i] = symbol
			i++
			continue
		}
		repeated, least, extra := uint8(0), 3, uint(3)
		switch symbol {
		case 16:
			if i == 0 {
				return false
			}
			repeated, extra = all[i-1], 2
		case 18:
			least, extra = 11, 7
		}
		n, ok := z.take(extra)
		if n += least; !ok || n > len(all)-i {
			return false
		}
		for range n {
			all[i] = repeated
			i++
		}
	}
	return z.literals.init(all[:numLit]) && z.distances.init(all[numLit:])
}
