package frame

// AppendReply appends the answer to ev that RFC 6455 asks for: a pong, the echo
// of a close code, the close frame for an error, or nothing. It never appends
// anything behind a close frame.
func (p *Protocol) AppendReply(dst []byte, ev *Event) []byte {
	switch ev.Kind {
	case PingEvent:
		if p.step(answersPing) == write {
			dst = p.appendFrame(dst, OpPong, ev.Data)
		}
	case CloseEvent:
		if p.step(answersClose) == write {
			dst = p.appendClose(dst, ev.Code, "")
		}
	case ErrorEvent:
		if p.step(answersClose) == write {
			reason := ""
			if e, ok := ev.Err.(*ProtocolError); ok {
				reason = e.Msg
			}
			dst = p.appendClose(dst, ev.Code, reason)
		}
	}
	return dst
}

// AppendMessage appends b as one message, compressed as AppendDeflated does it
// where permessage-deflate is negotiated. The caller makes sure that text is UTF-8.
// Errors: ErrOpcode unless op is OpText or OpBinary, ErrClosed.
func (p *Protocol) AppendMessage(dst []byte, op Opcode, b []byte) ([]byte, error) {
	if !op.startsMessage() {
		return dst, ErrOpcode
	}
	if p.step(saysFrame) == refuse {
		return dst, ErrClosed
	}
	if p.window != 0 {
		return p.appendDeflated(dst, op, b), nil
	}
	return p.appendFrame(dst, op, b), nil
}

// AppendPing appends a ping that carries b. Errors: ErrControlTooLong if b has
// more than 125 bytes, ErrClosed.
func (p *Protocol) AppendPing(dst, b []byte) ([]byte, error) {
	if len(b) > maxControl {
		return dst, ErrControlTooLong
	}
	if p.step(saysFrame) == refuse {
		return dst, ErrClosed
	}
	return p.appendFrame(dst, OpPing, b), nil
}

// appendFrame appends a whole frame in p's role: a client masks it.
func (p *Protocol) appendFrame(dst []byte, op Opcode, b []byte) []byte {
	if !p.cfg.Client {
		return AppendFrame(dst, op, b)
	}
	key := p.cfg.maskKey()
	dst = AppendHeader(dst, Header{Fin: true, Opcode: op, Masked: true, Mask: key, Length: int64(len(b))})
	n := len(dst)
	dst = append(dst, b...)
	Mask(dst[n:], key, 0)
	return dst
}

// appendDeflated is appendFrame, compressed where that makes b smaller.
func (p *Protocol) appendDeflated(dst []byte, op Opcode, b []byte) []byte {
	if !p.cfg.Client {
		return AppendDeflated(dst, op, b, p.window)
	}
	if len(b) >= minDeflate {
		h := Header{Opcode: op, Masked: true, Mask: p.cfg.maskKey()}
		if out, ok := deflate(dst, h, b, p.window); ok {
			return out
		}
	}
	return p.appendFrame(dst, op, b)
}
