package frame

// Relay reads one direction of a connection whose frames are passed on as they come: still
// masked, still compressed, each fragment by itself, and no message is gathered. It judges
// what a Protocol judges without inflating, with the same verdicts at the same bytes.
//
//	r.Resume(&cfg, conn.state, conn.partial)
//	r.Receive(buf[:n])
//	for pc := r.Next(); pc.Kind != frame.NoEvent; pc = r.Next() {
//		r.Pass() // or leave it out
//	}
//	other.Write(r.Passed())
//	conn.state, conn.partial = r.Suspend()
//
// A State is what an idle direction keeps, and of its Window it matters only whether there is
// one: then messages may come compressed. A Partial exists while a frame or a message is under
// way, but has no memory from Buffers unless half a control frame, or held input, is in it.
// Config.Client is whether a server's frames are read. The zero Relay is ready for Resume. It
// belongs to one goroutine; one for each event loop is enough.
type Relay struct {
	p     Protocol
	piece Piece

	raw     []byte // Piece.Raw, with what lies behind it
	run     []byte // what is to go on: a part of the input, or in copied
	copied  []byte // memory for what is in more than one part
	control [maxHeader + maxControl]byte
	payload [maxControl]byte
}

// Piece is a part of what is relayed. It is valid until the next Next.
type Piece struct {
	// Kind is FrameEvent or RestEvent for a part of a data frame; PingEvent, PongEvent or
	// CloseEvent for a whole control frame; or ErrorEvent. NoEvent says that the Relay wants
	// more.
	Kind     EventKind
	Opcode   Opcode     // of the frame; OpContinuation for a fragment that is not a message's first
	Deflated bool       // it is the first of a message that comes compressed
	Code     StatusCode // as in Event
	Raw      []byte     // the bytes to pass on, as they came
	Data     []byte     // a control frame's payload, unmasked; of a close, the reason
	Err      error      // as in Event
}

// Resume is Protocol.Resume.
func (r *Relay) Resume(cfg *Config, s State, q *Partial) { r.p.Resume(cfg, s, q) }

// Receive gives r input to read, which r leaves as it is, and borrows until Suspend or
// Hold. What was passed must have been taken before.
func (r *Relay) Receive(in []byte) { r.p.Receive(in) }

// Hold is Protocol.Hold. What was passed must have been taken before.
func (r *Relay) Hold() { r.p.Hold() }

// Suspend is Protocol.Suspend. What was passed must have been taken before, and is not valid
// any more.
func (r *Relay) Suspend() (s State, q *Partial) {
	r.piece, r.run = Piece{}, nil
	if cap(r.copied) > keepCopied {
		r.copied = nil
	}
	r.copied = r.copied[:0]
	return r.p.Suspend()
}

// keepCopied is how much memory for what was copied is kept: a read of the stream.
const keepCopied = 64 << 10

// Unread returns how many bytes of the input Next has yet to read.
func (r *Relay) Unread() int { return r.p.Unread() }

// InFrame is Partial.InFrame.
func (r *Relay) InFrame() bool { return r.p.q.InFrame() }

// InMessage is Protocol.InMessage.
func (r *Relay) InMessage() bool { return r.p.InMessage() }

// TakeCost is Protocol.TakeCost, but a frame of data is charged when it begins.
func (r *Relay) TakeCost() int { return r.p.TakeCost() }

// Done is Protocol.Done.
func (r *Relay) Done() bool { return r.p.Done() }

// Next returns the next piece. Pieces are as long as the input: a frame comes as one if all of
// it is there.
func (r *Relay) Next() *Piece {
	p := &r.p
	r.piece, r.raw = Piece{}, nil
	if p.spent != nil {
		p.putSpent()
	}
	switch {
	case len(p.in) == 0 || p.closing != open:
	case p.q != nil && p.q.inFrame:
		r.rest()
	default:
		r.begin()
	}
	r.piece.Raw = r.raw[:len(r.raw):len(r.raw)]
	return &r.piece
}

// Pass has the piece that Next has returned last go on.
func (r *Relay) Pass() {
	switch {
	case len(r.raw) == 0:
		return
	case len(r.run) == 0 && !r.isCopy():
		r.run = r.raw
	case cap(r.run) > len(r.run) && &r.run[:len(r.run)+1][len(r.run)] == &r.raw[0]: // it follows
		r.run = r.run[:len(r.run)+len(r.raw)]
	default:
		if len(r.copied) == 0 {
			r.copied = append(r.copied, r.run...)
		}
		r.copied = append(r.copied, r.raw...)
		r.run = r.copied
	}
	r.raw = nil
}

// isCopy reports whether the piece is no part of the input.
func (r *Relay) isCopy() bool { return &r.raw[0] == &r.control[0] }

// Passed returns what has been passed since it was called last, in its order: a part of the
// input, unless something within was left out, or had come in more than one read. It is valid
// until the next Pass.
func (r *Relay) Passed() []byte {
	out := r.run
	r.run, r.copied = nil, r.copied[:0]
	return out[:len(out):len(out)]
}

// begin reads a frame from its header on.
func (r *Relay) begin() {
	p, from := &r.p, r.p.in
	straddled := p.q != nil && p.q.headLen > 0
	h, ok, err := p.header()
	if err != nil {
		r.fail(err)
		return
	}
	if !ok {
		return
	}
	n := len(from) - len(p.in)
	if straddled {
		from = AppendHeader(r.control[:0], h) // judged to be the only way to write it
		n = len(from)
	}
	p.cost += h.cost()
	if h.Opcode.IsControl() {
		r.beginControl(h, from[:n], straddled)
		return
	}
	r.piece.Kind, r.piece.Opcode, r.piece.Deflated = FrameEvent, h.Opcode, h.Rsv != 0
	var b []byte // its payload, unless that lies elsewhere than the header
	if !straddled {
		b = p.in[:min(int64(len(p.in)), h.Length)]
		p.in = p.in[len(b):]
	}
	r.raw = from[:n+len(b)]
	if p.q == nil && h.Fin && h.Length == int64(len(b)) { // most often: nothing is to be kept
		if h.Opcode == OpText && h.Rsv == 0 && r.text(utf8Accept, &h, 0, b) != utf8Accept {
			r.fail(errText)
		}
		return
	}
	p.partial().begin(h)
	p.q.size += h.Length
	r.advance(b)
}

// rest goes on with the frame under way.
func (r *Relay) rest() {
	p, q := &r.p, r.p.q
	h, in := &q.frame, r.p.in
	b := in[:min(int64(len(in)), h.Length-q.got)]
	p.in = in[len(b):]
	if !h.Opcode.IsControl() {
		r.piece.Kind, r.piece.Opcode, r.raw = RestEvent, h.Opcode, b
		r.advance(b)
		return
	}
	if _ = q.gather(p.cfg, b); q.got < h.Length { // which only judges text
		return
	}
	q.inFrame = false
	p.spent, q.control = q.control, nil
	r.raw = append(AppendHeader(r.control[:0], *h), p.spent...)
	if h.Masked {
		xor(r.raw[len(r.raw)-len(p.spent):], wideKey(h.Mask, 0))
	}
	r.endControl(h.Opcode, p.spent)
}

// advance counts b, the next of the payload of the data frame under way, and ends that where
// it ends.
func (r *Relay) advance(b []byte) {
	p, q := &r.p, r.p.q
	h := &q.frame
	if q.opcode == OpText && !q.deflated {
		if q.utf8 = uint8(r.text(uint64(q.utf8), h, int(q.got&3), b)); uint64(q.utf8) == utf8Reject {
			r.fail(errText)
			return
		}
	}
	if q.got += int64(len(b)); q.got < h.Length {
		return
	}
	q.inFrame = false
	switch {
	case !h.Fin:
		if err := q.endFragment(); err != nil {
			r.fail(err)
		}
		return
	case uint64(q.utf8) != utf8Accept:
		r.fail(errText)
		return
	}
	q.opcode, q.size = OpContinuation, 0
	p.dropIdle()
}

// text returns the state of the validator behind b, at the position at of the payload of h.
func (r *Relay) text(state uint64, h *Header, at int, b []byte) uint64 {
	switch {
	case r.p.cfg.AnyText:
		return state
	case !h.Masked:
		return validUTF8(state, b)
	}
	var clear [512]byte
	for len(b) > 0 && state != utf8Reject {
		n := min(len(b), len(clear))
		xorTo(clear[:n], b[:n], wideKey(h.Mask, at))
		state = validUTF8(state, clear[:n])
		at, b = at+n, b[n:]
	}
	return state
}

// beginControl begins a control frame, whose header is head, and which is told of when it is
// whole.
func (r *Relay) beginControl(h Header, head []byte, straddled bool) {
	p := &r.p
	if int64(len(p.in)) < h.Length {
		p.partial().begin(h)
		if len(p.in) > 0 {
			r.rest()
		}
		return
	}
	b := p.in[:h.Length]
	p.in = p.in[h.Length:]
	if straddled {
		r.raw = append(head, b...)
	} else {
		r.raw = head[:len(head)+len(b)]
	}
	data := append(r.payload[:0], b...)
	if h.Masked {
		xor(data, wideKey(h.Mask, 0))
	}
	r.endControl(h.Opcode, data)
}

// endControl makes a piece of a control frame.
func (r *Relay) endControl(op Opcode, data []byte) {
	p := &r.p
	if p.q != nil {
		p.dropIdle() // it may have held half of it
	}
	r.piece.Opcode, r.piece.Data = op, data
	switch op {
	case OpPing:
		r.piece.Kind = PingEvent
	case OpPong:
		r.piece.Kind = PongEvent
	default: // judge lets nothing else through
		code, reason, err := parseClose(data)
		if err != nil {
			r.fail(err)
			return
		}
		p.step(hearsClose)
		r.piece.Kind, r.piece.Code, r.piece.Data = CloseEvent, code, reason
	}
}

// fail ends the reading. What was passed before stays as it is, and so does the input.
func (r *Relay) fail(err *ProtocolError) {
	if r.piece.Kind == FrameEvent && r.p.q != nil {
		r.p.q.inFrame = false // nothing of it is passed
	}
	r.p.step(hearsViolation)
	r.piece, r.raw = Piece{Kind: ErrorEvent, Code: err.Code, Err: err}, nil
}
