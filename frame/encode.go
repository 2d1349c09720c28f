package frame

// AppendFrame appends a whole, final, unmasked frame to dst: what a server
// sends. It does not look at the payload.
func AppendFrame(dst []byte, op Opcode, payload []byte) []byte {
	dst = appendStart(dst, finBit|byte(op)&opcodeBits, 0, int64(len(payload)))
	return append(dst, payload...)
}

// AppendFrame appends a whole, final frame to dst in the role that c says: a client's
// is masked, with a fresh key (RFC 6455 §5.3). Its payload is head followed by tail; it
// does not look at them.
func (c *Config) AppendFrame(dst []byte, op Opcode, head, tail []byte) []byte {
	length := int64(len(head) + len(tail))
	if !c.Client {
		dst = appendStart(dst, finBit|byte(op)&opcodeBits, 0, length)
		return append(append(dst, head...), tail...)
	}
	h := c.header(op)
	h.Fin, h.Length = true, length
	dst = AppendHeader(dst, h)
	n := len(dst)
	dst = append(append(dst, head...), tail...)
	Mask(dst[n:], h.Mask, 0)
	return dst
}

// AppendCloseFrame appends the close frame of a server, for an engine that keeps
// its own account of who has closed. Code and reason are as for AppendClose,
// except that a code which is not Sendable is sent as StatusInternalError: it
// must not reach the wire, and there is nobody to return an error to.
func AppendCloseFrame(dst []byte, code StatusCode, reason string) []byte {
	if code == 0 || code == StatusNoStatusRcvd {
		return append(dst, finBit|byte(OpClose), 0)
	}
	if !code.Sendable() {
		code = StatusInternalError
	}
	reason = reason[:reasonLength(reason)]
	dst = append(dst, finBit|byte(OpClose), byte(2+len(reason)), byte(code>>8), byte(code))
	return append(dst, reason...)
}

// AppendCloseFrame is the function of this name in the role that c says.
func (c *Config) AppendCloseFrame(dst []byte, code StatusCode, reason string) []byte {
	if !c.Client {
		return AppendCloseFrame(dst, code, reason)
	}
	var b [2 + maxControl]byte
	f := AppendCloseFrame(b[:0], code, reason)
	return c.AppendFrame(dst, OpClose, f[2:], nil)
}

// header returns the beginning of a header in the role that c says, with a fresh key
// for a client.
func (c *Config) header(op Opcode) Header {
	if !c.Client {
		return Header{Opcode: op}
	}
	return Header{Opcode: op, Masked: true, Mask: c.maskKey()}
}
