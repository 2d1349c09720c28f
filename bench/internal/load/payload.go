//go:build linux

package load

import (
	"bytes"
	"encoding/binary"
)

// Payload makes messages of one size that can be recognised, and checks what
// comes back. A message begins with its number and its sender's, in hexadecimal
// so that it is text too; the rest is the same in all:
//
//	0        8        16                size
//	+--------+--------+-------------------+
//	| number | sender | pattern …         |
//	+--------+--------+-------------------+
//
// A message of fewer than 16 bytes has what fits of it. It has the last digits of
// its number, so that the order can still be seen over a short distance.
type Payload struct {
	size    int
	pattern []byte
}

// StampSize is how many bytes of a message tell it from others.
const StampSize = 16

// Stamp is the beginning of a message.
type Stamp [StampSize]byte

// NewPayload returns the payload of messages of size bytes.
func NewPayload(size int) *Payload {
	p := &Payload{size: size, pattern: make([]byte, max(0, size-StampSize))}
	const text = "the quick brown fox jumps over the lazy dog, "
	for i := range p.pattern {
		p.pattern[i] = text[i%len(text)]
	}
	return p
}

// Size returns the size of the messages.
func (p *Payload) Size() int { return p.size }

// Pattern returns what follows the stamp in every message. It must not be
// changed.
func (p *Payload) Pattern() []byte { return p.pattern }

// Stamp writes the beginning of message seq of connection conn to s, and returns
// as much of it as fits.
func (p *Payload) Stamp(s *Stamp, conn int, seq uint32) []byte {
	binary.BigEndian.PutUint64(s[8:], hex(uint32(conn)))
	if p.size >= 8 {
		binary.BigEndian.PutUint64(s[:], hex(seq))
		return s[:min(p.size, StampSize)]
	}
	binary.BigEndian.PutUint64(s[:], hex(seq)<<(8*(8-p.size)))
	return s[:p.size]
}

// Verdict is what Check finds.
type Verdict uint8

// The verdicts.
const (
	Right      Verdict = iota
	BadLength          // it has another size
	BadContent         // it is no message of this connection
	Ahead              // it is one that should come later
	Behind             // it is one that came already
)

// Check says whether data is message want of connection conn. If it is another of
// this connection, seq is its number.
func (p *Payload) Check(data []byte, conn int, want uint32) (v Verdict, seq uint32) {
	var s Stamp
	stamp := p.Stamp(&s, conn, want)
	if len(data) != p.size {
		return BadLength, 0
	}
	n := len(stamp)
	if string(data[:n]) == string(stamp) && bytes.Equal(data[n:], p.pattern) {
		return Right, want
	}
	return p.judge(data, stamp, want)
}

// Resembles reports whether data, which has the size, is meant to be a message of
// connection conn: a byte of it may be wrong, or its number.
func (p *Payload) Resembles(data []byte, conn int) bool {
	var s Stamp
	stamp := p.Stamp(&s, conn, 0)
	digits := min(p.size, 8)
	return len(stamp) > digits && bytes.Equal(data[digits:len(stamp)], stamp[digits:]) ||
		len(p.pattern) > 0 && bytes.Equal(data[len(stamp):], p.pattern)
}

// judge finds out what is wrong with data, which is not message want.
func (p *Payload) judge(data, stamp []byte, want uint32) (Verdict, uint32) {
	digits := min(p.size, 8)
	if !bytes.Equal(data[digits:len(stamp)], stamp[digits:]) || !bytes.Equal(data[len(stamp):], p.pattern) {
		return BadContent, 0
	}
	var seq uint32
	for _, d := range data[:digits] {
		switch {
		case '0' <= d && d <= '9':
			seq = seq<<4 | uint32(d-'0')
		case 'a' <= d && d <= 'f':
			seq = seq<<4 | uint32(d-'a'+10)
		default:
			return BadContent, 0
		}
	}
	// The distance, in the arithmetic of the digits there are.
	unused := 32 - 4*digits
	ahead := int32((seq-want)<<unused) >> unused
	if ahead > 0 {
		return Ahead, want + uint32(ahead)
	}
	return Behind, want + uint32(ahead)
}

// hex returns the eight digits of n, the first in the most significant byte.
func hex(n uint32) uint64 {
	// Spread the nibbles over the bytes, then add '0', and 39 more for 10 to 15.
	x := uint64(n)
	x = (x<<16 | x) & 0x0000ffff0000ffff
	x = (x<<8 | x) & 0x00ff00ff00ff00ff
	x = (x<<4 | x) & 0x0f0f0f0f0f0f0f0f
	letters := (x + 0x0606060606060606) >> 4 & 0x0101010101010101
	return x + 0x3030303030303030 + letters*('a'-'0'-10)
}
