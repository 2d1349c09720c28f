package frame

// Protocol reads one connection's bytes as events and writes its frames. It has
// no I/O and belongs to one goroutine. An engine keeps one for each loop and
// moves it between connections with Resume and Suspend; a program with a
// goroutine for each connection makes one with New and never suspends it.
// The size is asserted by a test: 144 bytes on 64-bit machines.
type Protocol struct {
	cfg *Config

	// Input.
	in    []byte   // unread; borrowed, or the rest of q.tail
	q     *Partial // what straddles; nil: nothing
	spent []byte   // memory of the last event's Data, to be put back
	cost  int      // of frames since TakeCost
	event Event    // the last one

	free    partials
	closing closing
	window  Window // 0: permessage-deflate is not negotiated
	held    bool   // in is the rest of q.tail
}

// State is what a connection remembers between frames. The zero value is a
// fresh, open connection without extensions.
// The size is asserted by a test: 2 bytes, no pointer.
type State struct {
	closing closing
	window  Window
}

// NewState returns the State of a fresh connection whose handshake agreed on
// permessage-deflate without context takeover (RFC 7692) and gave us the window w. If
// w is 0, it agreed on no compression.
func NewState(w Window) State { return State{window: w} }

// Window returns the window of compressed messages that are sent on the connection,
// which says which of a Prepared's encodings it gets; 0 if there must be none.
func (s State) Window() Window { return s.window }

// Done reports whether nothing more is read: a close frame was sent or received, or the peer
// broke the protocol.
func (s State) Done() bool { return s.closing != open }

// New returns a Protocol for a fresh connection. A nil cfg means the zero Config.
func New(cfg *Config) *Protocol {
	if cfg == nil {
		cfg = new(Config)
	}
	return &Protocol{cfg: cfg}
}

// EnableDeflate says that the handshake agreed on permessage-deflate without
// context takeover (RFC 7692) and gave us the window w. It is for a connection whose
// first frame is yet to come: from here on compressed messages are read, whatever
// window the peer uses, and AppendMessage compresses.
func (p *Protocol) EnableDeflate(w Window) { p.window = w }

// Resume makes p work for the connection that has s and q; what q held is input
// again. q belongs to p until Suspend. cfg must not be nil.
func (p *Protocol) Resume(cfg *Config, s State, q *Partial) {
	if p.spent != nil {
		p.putSpent()
	}
	p.cfg, p.closing, p.window, p.q = cfg, s.closing, s.window, q
	p.in, p.held, p.cost = nil, false, 0
	if q != nil && q.tail != nil {
		p.in, p.held = q.tail[q.read:], true
	}
}

// Suspend ends the work for this connection and returns what to Resume it with.
// Input not yet read is held. q is nil when nothing straddles. p keeps no
// reference to the input or to q.
func (p *Protocol) Suspend() (s State, q *Partial) {
	if p.q != nil || p.spent != nil || len(p.in) > 0 {
		p.settle()
	}
	s, q = State{p.closing, p.window}, p.q
	p.in, p.q, p.held = nil, nil, false
	p.event = Event{}
	return s, q
}

// Receive gives p input to read. p borrows in, and unmasks it in place, until
// NextEvent returns NoEvent or Hold or Suspend is called. If there is still
// unread input, in goes behind it: all of it is then held.
func (p *Protocol) Receive(in []byte) {
	if len(p.in) == 0 && !p.held {
		p.in = in
		return
	}
	p.receive(in)
}

// Hold copies the input not yet read into memory from Buffers: the caller stops
// here and its buffer is free again. NextEvent goes on from there, also after
// Suspend and Resume. Held input is not copied again.
func (p *Protocol) Hold() {
	if p.held || len(p.in) == 0 || p.closing != open {
		return
	}
	q := p.partial()
	q.hold(p.cfg, p.in)
	p.in, p.held = q.tail, true
}

// Unread returns how many bytes of the input NextEvent has yet to read.
func (p *Protocol) Unread() int { return len(p.in) }

// InMessage reports whether the last fragment of a message is yet to come.
func (p *Protocol) InMessage() bool { return p.q != nil && p.q.opcode != OpContinuation }

// TakeCost returns the sum over the frames completed since the last call, or
// since Resume, of their length on the wire, header included, but at least 64
// each: what a byte limiter charges. A frame that breaks the protocol is free, but for one
// of which only Inflate finds it out.
func (p *Protocol) TakeCost() int {
	n := p.cost
	p.cost = 0
	return n
}

// Done reports whether nothing more will come out of the input: a close frame
// was sent or received, or the peer broke the protocol.
func (p *Protocol) Done() bool { return p.closing != open }

// receive is Receive for a connection with held or unread input.
func (p *Protocol) receive(in []byte) {
	if p.closing != open {
		return // what is left goes with the next NextEvent or Suspend
	}
	if len(p.in) == 0 {
		p.endInput()
		p.in = in
		return
	}
	p.Hold()
	q := p.q
	q.read = len(q.tail) - len(p.in)
	q.hold(p.cfg, in)
	p.in = q.tail[q.read:]
}

// settle makes p.q ready to leave p.
func (p *Protocol) settle() {
	p.putSpent()
	if p.closing != open || len(p.in) == 0 {
		p.endInput()
		return
	}
	p.Hold()
	p.q.read = len(p.q.tail) - len(p.in)
}

// endInput is called when the input is used up, or has lost its meaning because
// the connection is closing.
func (p *Protocol) endInput() {
	p.in = nil
	q := p.q
	if q == nil {
		return
	}
	if p.closing != open {
		q.Release(p.cfg)
	}
	if p.held {
		p.cfg.put(q.tail)
		q.tail, q.read, p.held = nil, 0, false
	}
	p.dropIdle()
}

// partial returns p.q, made if need be.
func (p *Protocol) partial() *Partial {
	if p.q == nil {
		p.q = p.free.get()
	}
	return p.q
}

// dropIdle frees p.q once nothing straddles.
func (p *Protocol) dropIdle() {
	if p.q.idle() {
		p.free.put(p.q)
		p.q = nil
	}
}

// putSpent gives back the memory of the last event.
func (p *Protocol) putSpent() {
	p.cfg.put(p.spent)
	p.spent = nil
}
