package frame

import "encoding/binary"

// symbols reads the symbols of a block to its end, RFC 1951 §3.2.3. All the time goes
// here, so what changes with each symbol is in variables until then.
func (z *inflater) symbols(literals, distances *huffman) (bad *ProtocolError) {
	b, n, msg, room := z.b, z.n, z.msg, min(cap(z.msg), z.limit)
	for {
		if n < 48 { // fill, inlined
			if z.at+8 <= len(z.in) {
				b |= binary.LittleEndian.Uint64(z.in[z.at:]) << n
				z.at += int(63-n) / 8
				n |= 56
			} else {
				z.b, z.n = b, n
				z.fill()
				b, n = z.b, z.n
			}
		}
		e := literals.quick[b&literals.mask%(1<<quickBits)]
		if e == 0 {
			e = literals.search(b)
		}
		l := uint(e & 15)
		if l == 0 || l > n {
			bad = errDeflate
			break
		}
		b >>= l
		n -= l
		symbol := e >> 4
		if symbol < endOfBlock {
			if len(msg) == room {
				if msg, room = z.more(msg); room == 0 {
					bad = errTooBig
					break
				}
			}
			msg = append(msg, byte(symbol))
			continue
		}
		if symbol == endOfBlock {
			break
		}
		length, distance, used := reference(symbol, b, n, distances)
		if used == 0 || distance > len(msg)-z.begin {
			bad = errDeflate
			break
		}
		b >>= used
		n -= used
		for length > 0 && bad == nil {
			if len(msg) == room {
				if msg, room = z.more(msg); room == 0 {
					bad = errTooBig
					break
				}
			}
			end := len(msg)
			from := end - distance
			msg = msg[:end+min(length, room-end)]
			length -= len(msg) - end
			for end < len(msg) { // what is repeated may reach into what it makes
				end += copy(msg[end:], msg[from:end])
			}
		}
		if bad != nil {
			break
		}
	}
	z.b, z.n, z.msg = b, n, msg
	return bad
}

// more returns msg with more memory, and how long it may become; 0 if it would pass
// the limit.
func (z *inflater) more(msg []byte) ([]byte, int) {
	z.msg = msg
	room := z.room()
	return z.msg, room
}

// reference reads the rest of a reference to what was before, whose first symbol is
// read: how many bytes, how far back, and the number of bits; 0 if there is no such thing.
func reference(symbol uint16, b uint64, n uint, distances *huffman) (length, distance int, used uint) {
	k := int(symbol) - endOfBlock - 1
	if k >= len(lengthBase) {
		return 0, 0, 0
	}
	used = uint(lengthExtra[k])
	length = int(lengthBase[k]) + int(b&(1<<used-1))
	b >>= used
	e := distances.quick[b&distances.mask%(1<<quickBits)]
	if e == 0 {
		e = distances.search(b)
	}
	l, d := uint(e&15), int(e>>4)
	if l == 0 || d >= len(distanceBase) {
		return 0, 0, 0
	}
	extra := uint(distanceExtra[d])
	distance = int(distanceBase[d]) + int(b>>l&(1<<extra-1))
	if used += l + extra; used > n {
		return 0, 0, 0
	}
	return length, distance, used
}
