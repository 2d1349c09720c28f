package frame

// Partial is what a connection owns while something straddles its reads: half a
// header, half a frame, half a message, or input that was held. It belongs to
// the caller of Suspend until it is passed to Resume or Release; its bytes
// come from Config.Buffers. nil is for a connection that owns nothing.
type Partial struct {
	// Memory from Buffers.
	msg     []byte // payload of the message under way, unmasked, as it came
	control []byte // payload of the control frame under way, unmasked
	tail    []byte // held input
	read    int    // how much of tail has been read

	// The frame under way.
	frame   Header          // if inFrame
	got     int64           // payload bytes that have arrived
	head    [maxHeader]byte // else half a header
	headLen uint8
	inFrame bool

	// The message under way.
	opcode   Opcode // OpContinuation: there is none
	deflated bool   // msg is compressed
	utf8     uint8  // the validator's state after msg, if it is not
	empty    int32  // empty fragments in a row
	size     int64  // of a message that is relayed, as far as its frames have begun

	next *Partial // in the free list
}

// Size returns how many bytes of Buffers memory q holds. q may be nil.
func (q *Partial) Size() int {
	if q == nil {
		return 0
	}
	return cap(q.msg) + cap(q.control) + cap(q.tail)
}

// InFrame reports whether the rest of a data frame is yet to come, before which nothing else
// may be said where it is relayed. q may be nil.
func (q *Partial) InFrame() bool { return q != nil && q.inFrame && !q.frame.Opcode.IsControl() }

// InMessage reports whether the rest of a message is yet to come. q may be nil.
func (q *Partial) InMessage() bool { return q != nil && q.opcode != OpContinuation }

// Release hands all memory back to cfg.Buffers: the connection is gone. q may
// be nil, and may be released again. Not for a Partial that a Protocol works on.
func (q *Partial) Release(cfg *Config) {
	if q == nil {
		return
	}
	cfg.put(q.msg)
	cfg.put(q.control)
	cfg.put(q.tail)
	*q = Partial{}
}

// idle reports whether nothing straddles any more.
func (q *Partial) idle() bool {
	return !q.inFrame && q.headLen == 0 && q.opcode == OpContinuation && q.tail == nil
}

// begin starts the frame h, and its message if it is the first.
func (q *Partial) begin(h Header) {
	q.frame, q.got, q.inFrame = h, 0, true
	if h.Opcode.startsMessage() {
		q.opcode, q.deflated = h.Opcode, h.Rsv != 0
		q.utf8, q.empty, q.size = uint8(utf8Accept), 0, 0
	}
}

// gather adds b, which has arrived of the frame under way, to the payload.
func (q *Partial) gather(cfg *Config, b []byte) *ProtocolError {
	h := &q.frame
	left := h.Length - q.got
	if h.Opcode.IsControl() {
		q.control = q.unmask(cfg.grow(q.control, len(b), h.Length), b)
		return nil
	}
	known := cfg.limit()
	if h.Fin {
		known = int64(len(q.msg)) + left
	}
	n := len(q.msg)
	q.msg = q.unmask(cfg.grow(q.msg, len(b), known), b)
	if q.opcode == OpText && !q.deflated {
		q.utf8 = uint8(validUTF8(uint64(q.utf8), q.msg[n:]))
		if uint64(q.utf8) == utf8Reject {
			return errText
		}
	}
	return nil
}

// unmask appends b to dst, which has room, and unmasks it on the way.
func (q *Partial) unmask(dst, b []byte) []byte {
	at := int(q.got & 3)
	q.got += int64(len(b))
	if !q.frame.Masked {
		return append(dst, b...)
	}
	n := len(dst)
	dst = dst[:n+len(b)]
	xorTo(dst[n:], b, wideKey(q.frame.Mask, at))
	return dst
}

// endFragment notes the end of a non-final fragment.
func (q *Partial) endFragment() *ProtocolError {
	if q.frame.Length > 0 {
		q.empty = 0
		return nil
	}
	if q.empty++; q.empty > maxEmptyFragments {
		return errEmptyFragments
	}
	return nil
}

// endMessage takes the whole message out of q.
func (q *Partial) endMessage() (op Opcode, msg []byte, err *ProtocolError) {
	if uint64(q.utf8) != utf8Accept {
		return 0, nil, errText
	}
	op, msg = q.opcode, q.msg
	q.opcode, q.msg = OpContinuation, nil
	return op, msg, nil
}

// hold puts b behind what is left of the tail.
func (q *Partial) hold(cfg *Config, b []byte) {
	if len(q.tail)+len(b) > cap(q.tail) {
		left := q.tail[q.read:]
		size := len(left) + len(b)
		if q.tail != nil {
			size *= 2 // it grew once, it may again
		}
		tail := append(cfg.get(size), left...)
		cfg.put(q.tail)
		q.tail, q.read = tail, 0
	}
	q.tail = append(q.tail, b...)
}

// maxFree bounds a Protocol's free list. A Partial is 144 bytes.
const maxFree = 1024

// partials is a bounded free list, so that steady straddling traffic does not
// allocate. It belongs to one Protocol.
type partials struct {
	top *Partial
	n   int
}

// get returns an empty Partial.
func (f *partials) get() *Partial {
	q := f.top
	if q == nil {
		return new(Partial)
	}
	f.top, q.next = q.next, nil
	f.n--
	return q
}

// put takes an idle Partial back.
func (f *partials) put(q *Partial) {
	if f.n == maxFree {
		return
	}
	*q = Partial{next: f.top}
	f.top = q
	f.n++
}
