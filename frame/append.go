package frame

// AppendReply appends the answer to ev that RFC 6455 asks for: a pong, the echo
// of a close code, the close frame for an error, or nothing. It never appends
// anything behind a close frame.
func (p *Protocol) AppendReply(dst []byte, ev *Event) []byte {
	switch ev.Kind {
	case PingEvent:
		if p.step(answersPing) == write {
			dst = p.cfg.AppendFrame(dst, OpPong, ev.Data, nil)
		}
	case CloseEvent:
		if p.step(answersClose) == write {
			dst = p.cfg.AppendCloseFrame(dst, ev.Code, "")
		}
	case ErrorEvent:
		if p.step(answersClose) == write {
			reason := ""
			if e, ok := ev.Err.(*ProtocolError); ok {
				reason = e.Msg
			}
			dst = p.cfg.AppendCloseFrame(dst, ev.Code, reason)
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
	return p.cfg.AppendFrame(dst, op, b, nil), nil
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
	return p.cfg.AppendFrame(dst, OpPing, b, nil), nil
}

// appendDeflated is cfg.AppendFrame, compressed where that makes b smaller.
func (p *Protocol) appendDeflated(dst []byte, op Opcode, b []byte) []byte {
	if len(b) >= minDeflate {
		if out, ok := deflate(dst, p.cfg.header(op), b, p.window); ok {
			return out
		}
	}
	return p.cfg.AppendFrame(dst, op, b, nil)
}
