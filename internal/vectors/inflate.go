package vectors

import (
	"bytes"
	"errors"
	"fmt"
)

var errDeflate = errors.New("vectors: not DEFLATE")

// Inflate returns the message of a compressed payload, and how many bytes it refers
// back at most, which no other inflater tells. It is RFC 1951 in a page, and slow. As
// frame does, it lets an empty message be no bytes at all, and a flush stay at the end.
func Inflate(payload []byte) (msg []byte, far int, err error) {
	defer func() {
		if r := recover(); r != nil {
			msg, far, err = nil, 0, fmt.Errorf("%w: %v", errDeflate, r)
		}
	}()
	const flush, end = "\x00\x00\xff\xff", "\x01\x00\x00\xff\xff"
	b := &bitReader{b: bytes.Clone(payload)}
	if len(payload) > 0 && !bytes.HasSuffix(payload, []byte(flush)) {
		b.b = append(b.b, flush...)
	}
	b.b = append(b.b, end...)
	for {
		stream, back := b.stream()
		msg, far = append(msg, stream...), max(far, back)
		b.n = (b.n + 7) &^ 7 // another may follow, RFC 7692 §7.2.3.4
		if b.n/8 >= len(payload) {
			return msg, far, nil
		}
	}
}

// stream reads blocks to the final one.
func (b *bitReader) stream() (msg []byte, far int) {
	for last := 0; last == 0; {
		last = b.bits(1)
		var literals, distances code
		switch b.bits(2) {
		case 0: // §3.2.4
			b.n = (b.n + 7) &^ 7
			n, not := b.bits(16), b.bits(16)
			if n != ^not&0xffff {
				panic("the length of a stored block")
			}
			for range n {
				msg = append(msg, byte(b.bits(8)))
			}
			continue
		case 1: // §3.2.6
			lengths := make([]int, 288)
			for i := range lengths {
				switch {
				case i < 144 || i >= 280:
					lengths[i] = 8
				case i < 256:
					lengths[i] = 9
				default:
					lengths[i] = 7
				}
			}
			literals, distances = newCode(lengths), newCode(bytesOf(5, 30))
		case 2:
			literals, distances = b.codes()
		default:
			panic("the type of a block")
		}
		for {
			s := literals.read(b)
			if s < 256 {
				msg = append(msg, byte(s))
				continue
			}
			if s == 256 {
				break
			}
			length := lengthBase[s-257] + b.bits(lengthExtra[s-257])
			d := distances.read(b)
			distance := distanceBase[d] + b.bits(max(0, d/2-1))
			far = max(far, distance)
			for range length {
				msg = append(msg, msg[len(msg)-distance])
			}
		}
	}
	return msg, far
}

// §3.2.5
var (
	lengthBase  = []int{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthExtra = []int{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}

	distanceBase = []int{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769,
		1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
)

func bytesOf(length, n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = length
	}
	return all
}

// bitReader panics at the end of b.
type bitReader struct {
	b []byte
	n int // bits read
}

func (b *bitReader) bits(n int) (v int) {
	for i := range n {
		v |= int(b.b[b.n>>3]>>(b.n&7)&1) << i
		b.n++
	}
	return v
}

// codes reads the codes of a block with its own, §3.2.7.
func (b *bitReader) codes() (literals, distances code) {
	nLiterals, nDistances, n := 257+b.bits(5), 1+b.bits(5), 4+b.bits(4)
	if nLiterals > 286 || nDistances > 30 {
		panic("more symbols than there are")
	}
	lengths := make([]int, 19)
	for _, at := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}[:n] {
		lengths[at] = b.bits(3)
	}
	c, all := newCode(lengths).whole(), []int(nil)
	for len(all) < nLiterals+nDistances {
		switch s := c.read(b); s {
		case 16:
			all = append(all, bytesOf(all[len(all)-1], 3+b.bits(2))...)
		case 17:
			all = append(all, bytesOf(0, 3+b.bits(3))...)
		case 18:
			all = append(all, bytesOf(0, 11+b.bits(7))...)
		default:
			all = append(all, s)
		}
	}
	if len(all) > nLiterals+nDistances {
		panic("more lengths than symbols")
	}
	return newCode(all[:nLiterals]).whole(), newCode(all[nLiterals:]).whole()
}

// code is a Huffman code, §3.2.2.
type code struct {
	count   [16]int // of the symbols by length
	symbols []int   // by length, then by value
}

func newCode(lengths []int) (c code) {
	for length := range c.count {
		for symbol, l := range lengths {
			if l == length && l > 0 {
				c.count[length]++
				c.symbols = append(c.symbols, symbol)
			}
		}
	}
	return c
}

// whole panics unless every sequence of bits begins with one code. Two exceptions are
// zlib's: no code at all, and a single one of one bit.
func (c code) whole() code {
	left := 1
	for _, n := range c.count[1:] {
		if left = left<<1 - n; left < 0 {
			panic("more codes than there are")
		}
	}
	if left > 0 && len(c.symbols) > 0 && (len(c.symbols) > 1 || c.count[1] == 0) {
		panic("not a whole code")
	}
	return c
}

func (c *code) read(b *bitReader) int {
	bits, first, at := 0, 0, 0
	for length := 1; length < len(c.count); length++ {
		bits |= b.bits(1)
		n := c.count[length]
		if bits < first+n {
			return c.symbols[at+bits-first]
		}
		at += n
		first = (first + n) << 1
		bits <<= 1
	}
	panic("no such code")
}
