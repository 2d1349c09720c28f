package frame

import (
	"bytes"
	"fmt"
	"hash/crc64"
	"testing"
)

// passing relays input, as a transcript of what it was told and what it passed on.
type passing struct {
	transcript
	r     *Relay
	cfg   *Config
	state State
	q     *Partial
	n     int // pieces
	pauses

	skip  int // every skip-th message is left out; 0: none
	begun int // messages
	whole int // of these, passed by PassWhole; below 0: it is not called
}

// read feeds one chunk. It is spoiled afterwards, as a loop's buffer is.
func (x *passing) read(t *testing.T, chunk []byte) {
	r := x.r
	r.Resume(x.cfg, x.state, x.q)
	in := bytes.Clone(chunk)
	r.Receive(in)
	for pc := x.next(); pc.Kind != NoEvent; pc = x.next() {
		x.piece(t, pc)
		if x.n++; x.hold > 0 && x.n%x.hold == 0 {
			x.take()
			r.Hold()
			spoil(in) // it is not the relay's any more
			in = nil
			x.suspend(t)
			r.Resume(x.cfg, x.state, x.q)
		}
	}
	x.take()
	x.suspend(t)
	spoil(in)
}

// next is Relay.Next behind what can be passed without it.
func (x *passing) next() *Piece {
	if x.whole >= 0 {
		n := x.r.PassWhole()
		x.whole += n
		x.begun += n
	}
	return x.r.Next()
}

func (x *passing) piece(t *testing.T, pc *Piece) {
	switch pc.Kind {
	case FrameEvent:
		if pc.Opcode != OpContinuation {
			x.begun++
		}
		if x.skip == 0 || x.begun%x.skip != 0 {
			x.r.Pass()
		}
	case RestEvent:
		if x.skip == 0 || x.begun%x.skip != 0 {
			x.r.Pass()
		}
	case ErrorEvent:
		if len(pc.Raw) > 0 {
			t.Errorf("an error has bytes: %x", pc.Raw)
		}
		x.events = append(x.events, describe(pc.Kind.String(), int(pc.Code), nil))
	default:
		if x.r.InFrame() {
			t.Errorf("%v within a frame", pc.Kind)
		}
		x.events = append(x.events, describe(pc.Kind.String(), int(pc.Code), pc.Data))
		x.r.Pass()
	}
}

func (x *passing) take() { x.out = append(x.out, x.r.Passed()...) }

func (x *passing) suspend(t *testing.T) {
	x.cost += x.r.TakeCost()
	if x.state, x.q = x.r.Suspend(); x.q != nil && x.q.idle() {
		t.Error("a Partial is kept that holds nothing")
	}
}

// judged is what a Protocol says to the same input: its events but for messages, and how it
// ended; and what of the input belongs to frames that are whole and right.
func judged(v *vector, in []byte) (events, messages []string, cost int, failed bool) {
	p := New(&Config{Client: v.client, MaxMessage: v.max, KeepDeflated: true})
	p.EnableDeflate(v.window)
	p.Receive(bytes.Clone(in))
	for ev := p.NextEvent(); ev.Kind != NoEvent; ev = p.NextEvent() {
		switch ev.Kind {
		case MessageEvent, DeflatedEvent:
			messages = append(messages, fmt.Sprintf("%v %v %d %x", ev.Kind, ev.Opcode, len(ev.Data), crc64.Checksum(ev.Data, crcTable)))
			continue
		case ErrorEvent:
			failed = true
			events = append(events, describe(ev.Kind.String(), int(ev.Code), nil))
			continue
		}
		events = append(events, describe(ev.Kind.String(), int(ev.Code), ev.Data))
	}
	return events, messages, p.TakeCost(), failed
}

// pass relays the input of v in chunks, piece by piece.
func pass(t *testing.T, r *Relay, v *vector, pause pauses, skip int, chunks ...[]byte) *passing {
	t.Helper()
	return passBy(t, r, v, pause, skip, -1, chunks...)
}

// passWhole is pass with PassWhole before each piece, and has to come to the same.
func passWhole(t *testing.T, r *Relay, v *vector, pause pauses, chunks ...[]byte) *passing {
	t.Helper()
	x, by := passBy(t, r, v, pause, 0, 0, chunks...), passBy(t, r, v, pause, 0, -1, chunks...)
	if !x.equal(&by.transcript) || x.begun != by.begun || x.state != by.state {
		t.Fatalf("%s, %+v, %d chunks: PassWhole makes it\n  %v, %d begun, %v\nand without\n  %v, %d begun, %v\nin %x",
			v.name, pause, len(chunks), x.transcript, x.begun, x.state, by.transcript, by.begun, by.state, v.in)
	}
	return x
}

func passBy(t *testing.T, r *Relay, v *vector, pause pauses, skip, whole int, chunks ...[]byte) *passing {
	t.Helper()
	buffers := &counted{}
	x := &passing{r: r, cfg: &Config{Client: v.client, MaxMessage: v.max, Buffers: buffers}, state: NewState(v.window), pauses: pause, skip: skip, whole: whole}
	for _, c := range chunks {
		x.read(t, c)
	}
	x.q.Release(x.cfg)
	if buffers.lent != 0 {
		t.Errorf("%d buffers were not given back", buffers.lent)
	}
	return x
}

// counted is Buffers that spoil what is given back.
type counted struct{ lent int }

func (b *counted) Get(n int) []byte { b.lent++; return make([]byte, 0, n) }
func (b *counted) Put(m []byte)     { b.lent--; spoil(m[:cap(m)]) }

// compare says what is wrong with what was passed of in.
func compare(t *testing.T, x *passing, v *vector, in []byte, how string) {
	t.Helper()
	events, messages, cost, failed := judged(v, in)
	if fmt.Sprint(x.events) != fmt.Sprint(events) {
		t.Fatalf("%s, %s: got %q, want %q\nin %x", v.name, how, x.events, events, in)
	}
	if !bytes.HasPrefix(in, x.out) {
		t.Fatalf("%s, %s: passed %x\nof     %x", v.name, how, x.out, in)
	}
	again, same, _, spoiled := judged(v, x.out)
	if failed {
		events = events[:len(events)-1]
	}
	if spoiled || fmt.Sprint(again) != fmt.Sprint(events) || fmt.Sprint(same) != fmt.Sprint(messages) {
		t.Fatalf("%s, %s: what was passed means %q %s, want %q %s\nin %x", v.name, how, again, same, events, messages, in)
	}
	ended := len(events) > 0 && x.state.closing != open
	if left := len(in) - len(x.out); !failed && !ended && left >= maxHeader+maxControl {
		t.Fatalf("%s, %s: %d bytes were not passed on\nin %x", v.name, how, left, in)
	}
	if !failed && x.cost < cost {
		t.Fatalf("%s, %s: cost %d, want %d or more\nin %x", v.name, how, x.cost, cost, in)
	}
}

// TestRelayVectors: what a Relay passes on is what came, byte for byte, and what it refuses is
// what a Protocol refuses, however the input is cut.
func TestRelayVectors(t *testing.T) {
	r := new(Relay)
	for _, v := range loadVectors(t) {
		for _, size := range []int{len(v.in), 7, 1} {
			if size == 0 || size < len(v.in) && len(v.in) > 1<<16 {
				continue
			}
			var chunks [][]byte
			for rest := v.in; len(rest) > 0; rest = rest[min(size, len(rest)):] {
				chunks = append(chunks, rest[:min(size, len(rest))])
			}
			for _, hold := range []int{0, 1, 3} {
				if hold > 0 && len(v.in) > 1<<16 {
					continue
				}
				how := fmt.Sprintf("%d bytes each, hold %d", size, hold)
				compare(t, pass(t, r, v, pauses{hold: hold}, 0, chunks...), v, v.in, how)
				compare(t, passWhole(t, r, v, pauses{hold: hold}, chunks...), v, v.in, how)
			}
		}
	}
}

// FuzzRelay cuts and holds anywhere, as FuzzChunks does.
func FuzzRelay(f *testing.F) {
	addVectors(f, func(v *vector) {
		f.Add(v.in, v.client, v.window != 0, []byte{1, 2, 3, 4, 5, 60}, byte(1), uint16(0))
	})
	r := new(Relay)
	f.Fuzz(func(t *testing.T, in []byte, client, deflated bool, cuts []byte, hold byte, limit uint16) {
		v := &vector{name: "fuzz", client: client, max: int(limit), in: in}
		if deflated {
			v.window = MaxWindow
		}
		var chunks [][]byte
		rest := in
		for _, c := range cuts {
			n := min(int(c&63), len(rest))
			chunks = append(chunks, rest[:n])
			rest = rest[n:]
		}
		chunks = append(chunks, rest)
		x := passWhole(t, r, v, pauses{hold: int(hold & 7)}, chunks...)
		compare(t, x, v, in, fmt.Sprintf("%d chunks, hold %d", len(chunks), hold&7))
	})
}

// conversation is masked messages of many shapes, with controls between and within.
func conversation() (in []byte, messages []string) {
	c := &Config{Client: true}
	add := func(fin bool, op Opcode, payload string) {
		h := Header{Fin: fin, Opcode: op, Masked: true, Mask: [4]byte{1, 2, 3, byte(len(in))}, Length: int64(len(payload))}
		in = AppendHeader(in, h)
		b := []byte(payload)
		Mask(b, h.Mask, 0)
		in = append(in, b...)
	}
	for i, n := range []int{0, 1, 125, 126, 300, 70_000} {
		text := fmt.Sprintf("%d%s", i, bytes.Repeat([]byte("ö"), n))
		add(true, OpText, text)
		in = c.AppendFrame(in, OpPing, []byte("between"), nil)
		add(false, OpText, text[:len(text)/2])
		in = c.AppendFrame(in, OpPong, []byte("within"), nil)
		add(false, OpContinuation, "")
		add(true, OpContinuation, text[len(text)/2:])
		messages = append(messages, text, text)
	}
	return in, messages
}

// TestRelayLeavesOut: a message that is not passed on is gone as a whole, and nothing else is.
func TestRelayLeavesOut(t *testing.T) {
	in, messages := conversation()
	v := &vector{name: "conversation", max: -1, in: in}
	for _, skip := range []int{2, 3, 5} {
		for _, size := range []int{len(in), 64 << 10, 1000, 7} {
			var chunks [][]byte
			for rest := in; len(rest) > 0; rest = rest[min(size, len(rest)):] {
				chunks = append(chunks, rest[:min(size, len(rest))])
			}
			x := pass(t, new(Relay), v, pauses{}, skip, chunks...)
			p := New(&Config{MaxMessage: -1})
			p.Receive(x.out)
			var got, want []string
			controls := 0
			for ev := p.NextEvent(); ev.Kind != NoEvent; ev = p.NextEvent() {
				if ev.Kind != MessageEvent {
					controls++
					continue
				}
				got = append(got, string(ev.Data))
			}
			for i, m := range messages {
				if (i+1)%skip != 0 {
					want = append(want, m)
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) || controls != len(messages) {
				t.Errorf("skip %d, %d bytes each: %d messages and %d controls, want %d and %d", skip, size, len(got), controls, len(want), len(messages))
			}
		}
	}
}

// TestRelayText: text is judged as it passes, where it is not told to let any pass.
func TestRelayText(t *testing.T) {
	c := &Config{Client: true}
	in := c.AppendFrame(nil, OpText, []byte("so far"), []byte{0xC0, 0x80})
	for _, anyText := range []bool{false, true} {
		r := new(Relay)
		r.Resume(&Config{AnyText: anyText}, State{}, nil)
		r.Receive(in)
		if n := r.PassWhole(); n > 0 != anyText {
			t.Errorf("AnyText %t: %d messages passed", anyText, n)
		}
		r.Resume(&Config{AnyText: anyText}, State{}, nil)
		r.Receive(in)
		pc := r.Next()
		if want := map[bool]EventKind{false: ErrorEvent, true: FrameEvent}[anyText]; pc.Kind != want {
			t.Errorf("AnyText %t: got %v, want %v", anyText, pc.Kind, want)
		}
		if pc.Kind == ErrorEvent && pc.Code != StatusInvalidFramePayloadData {
			t.Errorf("got %v, want 1007", pc.Code)
		}
	}
}

// TestPassWhole: it passes every message that is all there is to look at, compressed or not, and
// nothing else.
func TestPassWhole(t *testing.T) {
	for _, client := range []bool{false, true} {
		from := &Config{Client: !client}
		in := from.AppendFrame(nil, OpText, []byte("one"), nil)
		at := len(in)
		in = from.AppendFrame(in, OpBinary, bytes.Repeat([]byte("two"), 100), nil)
		cost := len(in) - at + 5*minCost
		in = from.AppendFrame(in, OpText, nil, nil)
		at = len(in)
		in = from.AppendFrame(in, OpBinary, []byte("four, compressed"), nil)
		in[at] |= rsv1Bit
		whole := len(in)
		in = from.AppendFrame(in, OpPing, nil, nil)
		in = from.AppendFrame(in, OpText, []byte("five"), nil)
		fifth := len(in)
		in = from.AppendFrame(in, OpText, []byte("cut off"), nil)
		r := new(Relay)
		r.Resume(&Config{Client: client}, NewState(MaxWindow), nil)
		r.Receive(in[:len(in)-1])
		n, first := r.PassWhole(), len(r.Passed())
		ping := r.Next()
		if n != 4 || first != whole || ping.Kind != PingEvent {
			t.Errorf("client %t: %d messages of %d bytes, then %v, want 4 of %d, then ping", client, n, first, ping.Kind, whole)
		}
		r.Pass()
		n, charged := r.PassWhole(), r.TakeCost()
		if out := r.Passed(); n != 1 || !bytes.Equal(out, in[whole:fifth]) || charged != cost {
			t.Errorf("client %t: then %d messages, %x, and %d for all, want 1, %x, %d", client, n, out, charged, in[whole:fifth], cost)
		}
		if pc := r.Next(); pc.Kind != FrameEvent || r.PassWhole() != 0 {
			t.Errorf("client %t: got %v, want the half frame", client, pc.Kind)
		}
	}
}

// TestRelayCopiesNothing: what is passed is the input itself, and nothing is allocated or kept
// for a connection between messages.
func TestRelayCopiesNothing(t *testing.T) {
	in, _ := conversation()
	r, cfg := new(Relay), &Config{MaxMessage: -1}
	relay := func() {
		r.Resume(cfg, State{}, nil)
		r.Receive(in)
		for pc := r.Next(); pc.Kind != NoEvent; pc = r.Next() {
			r.Pass()
		}
		if out := r.Passed(); len(out) != len(in) || &out[0] != &in[0] {
			t.Fatalf("passed %d bytes elsewhere, want the %d of the input", len(out), len(in))
		}
		if _, q := r.Suspend(); q != nil {
			t.Fatal("something is kept")
		}
	}
	relay()
	if n := testing.AllocsPerRun(10, relay); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
