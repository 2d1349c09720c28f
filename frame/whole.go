package frame

import "encoding/binary"

// PassWhole passes on the messages ahead that have come whole, each in one frame, and returns
// how many they are. It does what Next and Pass do one by one, for callers that need not see
// every piece: what costs most in a relay of small messages is to look at each of them. It stops
// before anything else, a mistake too, which is for Next to find; also before all that is behind
// what straddles reads.
func (r *Relay) PassWhole() (messages int) {
	p := &r.p
	if p.q != nil || p.closing != open || len(p.in) == 0 {
		return 0
	}
	compressed, mask, key := byte(0), byte(maskBit), 4
	if p.window != 0 {
		compressed = rsv1Bit
	}
	if p.cfg.Client {
		mask, key = 0, 0
	}
	in, limit, anyText := p.in, p.cfg.limit(), p.cfg.AnyText
	for len(in) >= 2 {
		op, n, head := Opcode(in[0]^finBit)&^Opcode(compressed), int(in[1]^mask), 2
		if n == length16 && len(in) >= 4 {
			if n, head = int(binary.BigEndian.Uint16(in[2:])), 4; n < length16 {
				break // not minimal
			}
		} else if n >= length16 { // longer, or masked where it must not be, or the other way round
			break
		}
		size := head + key + n
		if !op.startsMessage() || size > len(in) || int64(n) > limit {
			break
		}
		if !anyText && in[0] == finBit|byte(OpText) && !r.isText(in[:size], head) {
			break
		}
		p.cost += max(minCost, size)
		in = in[size:]
		messages++
	}
	if messages > 0 {
		r.raw = p.in[:len(p.in)-len(in)]
		p.in = in
		r.Pass()
	}
	return messages
}

// isText reports whether the payload of b, a frame whose length ends at head, is UTF-8.
func (r *Relay) isText(b []byte, head int) bool {
	var h Header
	if h.Masked = !r.p.cfg.Client; h.Masked {
		h.Mask = [4]byte(b[head:])
		head += 4
	}
	return r.text(utf8Accept, &h, 0, b[head:]) == utf8Accept
}
