package frame

import "encoding/binary"

// The first two bytes of a frame (RFC 6455 §5.2), then 0, 2 or 8 bytes of
// extended length, then 4 bytes of masking key if the mask bit is set:
//
//	  7   6   5   4   3   2   1   0     7   6   5   4   3   2   1   0
//	+---+---+---+---+---+---+---+---+ +---+---+---+---+---+---+---+---+
//	|FIN|  RSV 1–3  |    opcode     | |MSK|   length, 126 or 127      |
//	+---+---+---+---+---+---+---+---+ +---+---+---+---+---+---+---+---+
const (
	finBit     = 0x80
	rsvBits    = 0x70
	rsv1Bit    = 0x40 // of a data message: it is compressed (RFC 7692 §6)
	rsvShift   = 4
	opcodeBits = 0x0F
	maskBit    = 0x80
	lengthBits = 0x7F

	length16 = 126 // the length is in the next 2 bytes
	length64 = 127 // the length is in the next 8 bytes

	maxHeader  = 2 + 8 + 4
	maxControl = 125 // RFC 6455 §5.5
)

// Header is a frame's header. The zero value is an empty, non-final,
// unmasked continuation.
type Header struct {
	Fin    bool
	Rsv    byte // RSV1 is 4, RSV2 is 2, RSV3 is 1
	Opcode Opcode
	Masked bool
	Mask   [4]byte
	Length int64 // of the payload
}

// ParseHeader reads a header from the start of b and returns its length n.
// n == 0 without an error means that b ends too early; h then holds the fields
// that have arrived. A length that is not written in the fewest bytes or needs
// its 64th bit is an error as soon as b shows it. Nothing else is judged here.
func ParseHeader(b []byte) (h Header, n int, err error) {
	h, n, bad := parseHeader(b)
	if bad != nil {
		return h, 0, bad
	}
	return h, n, nil
}

// AppendHeader appends h to dst. h.Length must not be negative; Mask is
// written only when Masked is set.
func AppendHeader(dst []byte, h Header) []byte {
	b0 := h.Rsv<<rsvShift&rsvBits | byte(h.Opcode)&opcodeBits
	if h.Fin {
		b0 |= finBit
	}
	var m byte
	if h.Masked {
		m = maskBit
	}
	dst = appendStart(dst, b0, m, h.Length)
	if h.Masked {
		dst = append(dst, h.Mask[:]...)
	}
	return dst
}

// size returns how many bytes h takes on the wire.
func (h *Header) size() int64 {
	n := int64(2)
	switch {
	case h.Length > 0xFFFF:
		n += 8
	case h.Length >= length16:
		n += 2
	}
	if h.Masked {
		n += 4
	}
	return n
}

// minCost is the least a frame costs: parsing an empty one is work too.
const minCost = 64

// cost returns what a byte limiter charges for the whole frame.
func (h *Header) cost() int { return int(max(minCost, h.size()+h.Length)) }

// parseHeader is ParseHeader with the error's own type.
func parseHeader(b []byte) (h Header, n int, err *ProtocolError) {
	if len(b) == 0 {
		return h, 0, nil
	}
	h.Fin = b[0]&finBit != 0
	h.Rsv = b[0] & rsvBits >> rsvShift
	h.Opcode = Opcode(b[0] & opcodeBits)
	if len(b) == 1 {
		return h, 0, nil
	}
	h.Masked = b[1]&maskBit != 0
	h.Length, n, err = parseLength(b)
	if n == 0 || err != nil || !h.Masked {
		return h, n, err
	}
	if len(b) < n+4 {
		return h, 0, nil
	}
	h.Mask = [4]byte(b[n:])
	return h, n + 4, nil
}

// parseLength reads the payload length of the header that starts b, which has
// at least two bytes; n is where the length ends, 0 if it has not arrived.
func parseLength(b []byte) (length int64, n int, err *ProtocolError) {
	switch l := b[1] & lengthBits; l {
	case length16:
		if len(b) < 4 {
			return 0, 0, nil
		}
		v := binary.BigEndian.Uint16(b[2:])
		if v < length16 {
			return 0, 0, errLengthNotMinimal
		}
		return int64(v), 4, nil
	case length64:
		if len(b) > 2 && b[2]&0x80 != 0 {
			return 0, 0, errLengthSign
		}
		if len(b) >= 8 && binary.BigEndian.Uint32(b[2:])|uint32(binary.BigEndian.Uint16(b[6:])) == 0 {
			return 0, 0, errLengthNotMinimal
		}
		if len(b) < 10 {
			return 0, 0, nil
		}
		return int64(binary.BigEndian.Uint64(b[2:])), 10, nil
	default:
		return int64(l), 2, nil
	}
}

// appendStart appends a header without its masking key. m is the mask bit.
func appendStart(dst []byte, b0, m byte, length int64) []byte {
	switch {
	case length < length16:
		return append(dst, b0, m|byte(length))
	case length <= 0xFFFF:
		return append(dst, b0, m|length16, byte(length>>8), byte(length))
	default:
		return binary.BigEndian.AppendUint64(append(dst, b0, m|length64), uint64(length))
	}
}
