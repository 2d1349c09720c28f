package frame

import "encoding/binary"

// The validator is an automaton over bytes (RFC 3629 §4). A state is written
// as the number of bits to shift: each byte has one 64-bit row in which the
// 6-bit field at the current state's shift is the next state. A step is one
// load and one shift, and a state, being one small number, survives between
// fragments. The zero state accepts: nothing read, or only whole characters.
const (
	utf8Accept uint64 = 6 * iota
	utf8Need1         // one continuation byte to go
	utf8Need2
	utf8Need3
	utf8E0 // next is A0–BF: shorter forms are not allowed
	utf8ED // next is 80–9F: surrogates are not characters
	utf8F0 // next is 90–BF: shorter forms are not allowed
	utf8F4 // next is 80–8F: U+10FFFF is the last
	utf8Reject

	utf8State = 63 // the bits of a row that are the state after shifting
)

// utf8Rows holds the automaton, one row for each byte.
var utf8Rows = func() (rows [256]uint64) {
	for b := range rows {
		for s := utf8Accept; s <= utf8Reject; s += 6 {
			rows[b] |= utf8Next(s, byte(b)) << s
		}
	}
	return rows
}()

// utf8Next returns the state after b in state s.
func utf8Next(s uint64, b byte) uint64 {
	in := func(lo, hi byte, next uint64) uint64 {
		if b < lo || b > hi {
			return utf8Reject
		}
		return next
	}
	switch s {
	case utf8Accept:
		return utf8First(b)
	case utf8Need1:
		return in(0x80, 0xBF, utf8Accept)
	case utf8Need2:
		return in(0x80, 0xBF, utf8Need1)
	case utf8Need3:
		return in(0x80, 0xBF, utf8Need2)
	case utf8E0:
		return in(0xA0, 0xBF, utf8Need1)
	case utf8ED:
		return in(0x80, 0x9F, utf8Need1)
	case utf8F0:
		return in(0x90, 0xBF, utf8Need2)
	case utf8F4:
		return in(0x80, 0x8F, utf8Need2)
	default:
		return utf8Reject
	}
}

// utf8First returns the state after a character's first byte.
func utf8First(b byte) uint64 {
	switch {
	case b < 0x80:
		return utf8Accept
	case b >= 0xC2 && b <= 0xDF: // C0 and C1 only begin forms that are too long
		return utf8Need1
	case b == 0xE0:
		return utf8E0
	case b == 0xED:
		return utf8ED
	case b >= 0xE1 && b <= 0xEF:
		return utf8Need2
	case b == 0xF0:
		return utf8F0
	case b >= 0xF1 && b <= 0xF3:
		return utf8Need3
	case b == 0xF4:
		return utf8F4
	default:
		return utf8Reject
	}
}

// nonASCII selects the top bit of each byte of a word.
const nonASCII = 0x8080808080808080

// validUTF8 returns the state after b, starting from s. utf8Reject is final:
// no bytes to come can mend the text.
func validUTF8(s uint64, b []byte) uint64 {
	if s == utf8Accept {
		b = skipASCII(b)
	}
	for len(b) >= 8 {
		if s&utf8State == utf8Accept && binary.LittleEndian.Uint64(b)&nonASCII == 0 {
			b = b[8:]
			continue
		}
		w := (*[8]byte)(b)
		s = utf8Rows[w[0]] >> (s & utf8State)
		s = utf8Rows[w[1]] >> (s & utf8State)
		s = utf8Rows[w[2]] >> (s & utf8State)
		s = utf8Rows[w[3]] >> (s & utf8State)
		s = utf8Rows[w[4]] >> (s & utf8State)
		s = utf8Rows[w[5]] >> (s & utf8State)
		s = utf8Rows[w[6]] >> (s & utf8State)
		s = utf8Rows[w[7]] >> (s & utf8State)
		b = b[8:]
	}
	for _, c := range b {
		s = utf8Rows[c] >> (s & utf8State)
	}
	return s & utf8State
}

// skipASCII returns b without the plain ASCII it begins with, 64 bytes at a time.
func skipASCII(b []byte) []byte {
	le := binary.LittleEndian
	for len(b) >= 64 {
		w := (*[64]byte)(b)
		or := le.Uint64(w[0:]) | le.Uint64(w[8:]) | le.Uint64(w[16:]) | le.Uint64(w[24:]) |
			le.Uint64(w[32:]) | le.Uint64(w[40:]) | le.Uint64(w[48:]) | le.Uint64(w[56:])
		if or&nonASCII != 0 {
			break
		}
		b = b[64:]
	}
	return b
}
