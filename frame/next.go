package frame

import "encoding/binary"

// NextEvent returns the next event in the input; NoEvent means that p wants
// more of it. The event and its Data are valid until the next Receive, NextEvent,
// Hold or Suspend: Data is part of the input where a message arrived whole.
func (p *Protocol) NextEvent() *Event {
	if p.spent != nil {
		p.putSpent()
	}
	if p.q == nil {
		if len(p.in) == 0 {
			p.in, p.event = nil, Event{}
			return &p.event
		}
		if p.short() {
			return &p.event
		}
	}
	p.event = p.next()
	return &p.event
}

// short reads what most servers read most of the time: a whole message of up to
// 65,535 bytes in one masked frame. For anything else it touches nothing and returns
// false.
func (p *Protocol) short() bool {
	in := p.in
	if len(in) < 8 || p.closing != open || p.cfg.Client {
		return false
	}
	op, n, at := Opcode(in[0]^finBit), int(in[1]^maskBit), 6
	if n == length16 {
		n, at = int(binary.BigEndian.Uint16(in[2:])), 8
	}
	fits := n < length16 == (at == 6) // else it is not masked, not minimal, or longer
	if !op.startsMessage() || !fits || n > len(in)-at || int64(n) > p.cfg.limit() {
		return false
	}
	k := uint64(binary.LittleEndian.Uint32(in[at-4:]))
	data := in[at : at+n : at+n]
	xor(data, k<<32|k)
	if op == OpText && validUTF8(utf8Accept, data) != utf8Accept {
		p.event = p.fail(errText)
		return true
	}
	p.in = in[at+n:]
	p.cost += max(minCost, at+n)
	// The rest of the event is zero: behind an error or a close nothing is read.
	p.event.Kind, p.event.Opcode, p.event.Data = MessageEvent, op, data
	return true
}

// next reads frames until one of them makes an event or the input is used up.
func (p *Protocol) next() Event {
	for p.closing == open {
		if p.q == nil || !p.q.inFrame {
			h, ok, err := p.header()
			if err != nil {
				return p.fail(err)
			}
			if !ok {
				break
			}
			if ev, ok := p.whole(h); ok {
				return ev
			}
			p.partial().begin(h)
		}
		ev, ok := p.payload()
		if !ok {
			break
		}
		if ev.Kind != NoEvent {
			return ev
		}
	}
	p.endInput()
	return Event{}
}

// header takes the next header out of the input. ok is false if the input ends
// within it; q then keeps the half.
func (p *Protocol) header() (h Header, ok bool, err *ProtocolError) {
	var n int
	if p.q == nil || p.q.headLen == 0 {
		h, n, err = p.parse(p.in)
		if err != nil || n > 0 {
			p.in = p.in[n:]
			return h, n > 0, err
		}
		if len(p.in) > 0 {
			q := p.partial()
			q.headLen = uint8(copy(q.head[:], p.in))
			p.in = p.in[len(p.in):]
		}
		return h, false, nil
	}
	for q := p.q; len(p.in) > 0; {
		q.head[q.headLen] = p.in[0]
		q.headLen++
		p.in = p.in[1:]
		h, n, err = p.parse(q.head[:q.headLen])
		if err != nil || n > 0 {
			q.headLen = 0
			return h, n > 0, err
		}
	}
	return h, false, nil
}

// parse reads a header like ParseHeader and judges all of it that has arrived,
// byte by byte, so that the verdict does not depend on how the bytes came.
func (p *Protocol) parse(b []byte) (h Header, n int, err *ProtocolError) {
	if len(b) == 0 {
		return h, 0, nil
	}
	if err = p.judge(b); err != nil {
		return h, 0, err
	}
	h, n, err = parseHeader(b)
	if err != nil || h.Opcode.IsControl() {
		return h, n, err
	}
	room := p.cfg.limit()
	if p.q != nil {
		room -= int64(len(p.q.msg)) + p.q.size
	}
	if h.Length > room {
		return h, 0, errTooBig
	}
	return h, n, nil
}

// judge checks the first two bytes of a header, as far as b has them, against
// RFC 6455 §5 and the message under way.
func (p *Protocol) judge(b []byte) *ProtocolError {
	op := Opcode(b[0] & opcodeBits)
	inMessage := p.q != nil && p.q.opcode != OpContinuation
	reserved := byte(rsvBits)
	if p.window != 0 && op.startsMessage() { // RFC 7692 §6: never on a continuation or a control frame
		reserved &^= rsv1Bit
	}
	switch {
	case b[0]&reserved != 0:
		return errReservedBits
	case !op.known():
		return errReservedOpcode
	case op.IsControl() && b[0]&finBit == 0: // §5.5
		return errFragmentedControl
	case op == OpContinuation && !inMessage: // §5.4
		return errNothingToContinue
	case op.startsMessage() && inMessage: // §5.4
		return errMessageInMessage
	}
	if len(b) == 1 {
		return nil
	}
	masked, length := b[1]&maskBit != 0, b[1]&lengthBits
	switch {
	case !masked && !p.cfg.Client: // §5.1
		return errUnmasked
	case masked && p.cfg.Client: // §5.1
		return errMasked
	case op.IsControl() && length > maxControl: // §5.5
		return errLongControl
	case op == OpClose && length == 1: // §5.5.1: a body begins with a code of two bytes
		return errShortClose
	}
	return nil
}

// whole makes an event of the frame h without copying, if all of its payload is
// in the input and it is a control frame or a message by itself.
func (p *Protocol) whole(h Header) (ev Event, ok bool) {
	if int64(len(p.in)) < h.Length || !h.Opcode.IsControl() && (!h.Fin || h.Opcode == OpContinuation) {
		return Event{}, false
	}
	data := p.in[:h.Length:h.Length]
	p.in = p.in[h.Length:]
	if h.Masked {
		xor(data, wideKey(h.Mask, 0))
	}
	if p.q != nil {
		p.dropIdle() // it may have held half of this header
	}
	switch {
	case h.Opcode.IsControl():
		ev = p.control(h.Opcode, data)
	case h.Rsv != 0 && p.cfg.KeepDeflated:
		ev = Event{Kind: DeflatedEvent, Opcode: h.Opcode, Data: data}
	case h.Rsv != 0:
		ev = p.inflate(h.Opcode, data)
	case h.Opcode == OpText && validUTF8(utf8Accept, data) != utf8Accept:
		ev = p.fail(errText)
	default:
		ev = Event{Kind: MessageEvent, Opcode: h.Opcode, Data: data}
	}
	p.charge(ev, h.cost())
	return ev, true
}

// payload takes what has arrived of the frame under way out of the input. ok is
// false while the frame is not complete; ev is NoEvent for a fragment.
func (p *Protocol) payload() (ev Event, ok bool) {
	q := p.q
	h := &q.frame
	b := p.in[:min(int64(len(p.in)), h.Length-q.got)]
	p.in = p.in[len(b):]
	if err := q.gather(p.cfg, b); err != nil {
		return p.fail(err), true
	}
	if q.got < h.Length {
		return Event{}, false
	}
	q.inFrame = false
	cost := h.cost()
	ev = p.endFrame(h)
	p.charge(ev, cost)
	return ev, true
}

// endFrame makes an event of the frame h, whose payload is in q. h may be gone
// afterwards.
func (p *Protocol) endFrame(h *Header) Event {
	q := p.q
	var ev Event
	switch {
	case h.Opcode.IsControl():
		p.spent, q.control = q.control, nil
		ev = p.control(h.Opcode, p.spent)
	case !h.Fin:
		if err := q.endFragment(); err != nil {
			return p.fail(err)
		}
		if p.cfg.Fragments {
			return Event{Kind: FragmentEvent, Opcode: q.opcode}
		}
		return Event{}
	default:
		op, msg, err := q.endMessage()
		if err != nil {
			return p.fail(err)
		}
		if q.deflated && !p.cfg.KeepDeflated {
			ev = p.inflate(op, msg)
			p.cfg.put(msg)
			break
		}
		p.spent = msg
		if ev = (Event{Kind: MessageEvent, Opcode: op, Data: msg}); q.deflated {
			ev.Kind = DeflatedEvent
		}
	}
	if p.q != nil {
		p.dropIdle()
	}
	return ev
}

// control makes an event of a whole control frame.
func (p *Protocol) control(op Opcode, data []byte) Event {
	switch op {
	case OpPing:
		return Event{Kind: PingEvent, Opcode: op, Data: data}
	case OpPong:
		return Event{Kind: PongEvent, Opcode: op, Data: data}
	default: // judge lets nothing else through
		return p.heardClose(data)
	}
}

// charge adds what a frame costs, unless it broke the protocol.
func (p *Protocol) charge(ev Event, cost int) {
	if ev.Kind != ErrorEvent {
		p.cost += cost
	}
}

// fail ends the reading: the peer broke the protocol.
func (p *Protocol) fail(err *ProtocolError) Event {
	p.step(hearsViolation)
	p.endInput()
	return Event{Kind: ErrorEvent, Code: err.Code, Err: err}
}
