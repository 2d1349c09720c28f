package frame

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unsafe"
)

func TestSizes(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("sizes are stated for 64-bit machines")
	}
	for _, test := range []struct {
		name      string
		got, want uintptr
	}{
		{"State", unsafe.Sizeof(State{}), 2},
		{"Event", unsafe.Sizeof(Event{}), 48},
		{"Partial", unsafe.Sizeof(Partial{}), 144},
		{"Protocol", unsafe.Sizeof(Protocol{}), 144},
		{"Header", unsafe.Sizeof(Header{}), 16},
	} {
		if test.got != test.want {
			t.Errorf("%s: got %d bytes, want %d", test.name, test.got, test.want)
		}
	}
}

// TestNoCopy checks that a message that arrives whole is handed out in place.
func TestNoCopy(t *testing.T) {
	for _, n := range []int{1, 20, 125, 126, 5000} {
		in := maskedBytes(OpBinary, strings.Repeat("x", n))
		p := New(nil)
		p.Receive(in)
		ev := p.NextEvent()
		if len(ev.Data) != n || &ev.Data[0] != &in[len(in)-n] {
			t.Errorf("%d bytes: Data is not part of the input", n)
		}
		if cap(ev.Data) != n {
			t.Errorf("%d bytes: an append to Data would write over the input", n)
		}
	}
}

// mallocs checks that f, once warm, allocates nothing.
func mallocs(t *testing.T, name string, f func()) {
	t.Helper()
	if got := testing.AllocsPerRun(100, f); got != 0 {
		t.Errorf("%s: got %v allocations, want 0", name, got)
	}
}

// keepBuffers is Buffers that keeps everything; it does not allocate once warm.
type keepBuffers struct{ free [][]byte }

func (k *keepBuffers) Get(n int) []byte {
	if l := len(k.free); l > 0 {
		b := k.free[l-1]
		k.free = k.free[:l-1]
		return b
	}
	return make([]byte, 0, 1<<16)
}

func (k *keepBuffers) Put(b []byte) { k.free = append(k.free, b) }

func TestMallocs(t *testing.T) {
	cfg := &Config{Buffers: new(keepBuffers)}
	p := New(nil)
	var state State
	var q *Partial
	var out []byte
	run := func(chunks ...[]byte) {
		out = out[:0]
		for _, c := range chunks {
			p.Resume(cfg, state, q)
			p.Receive(c)
			for ev := p.NextEvent(); ev.Kind != NoEvent; ev = p.NextEvent() {
				out = p.AppendReply(out, ev)
				if ev.Kind == MessageEvent {
					out, _ = p.AppendMessage(out, ev.Opcode, ev.Data)
				}
			}
			state, q = p.Suspend()
		}
		if len(out) == 0 {
			t.Fatal("nothing came back")
		}
	}
	for _, op := range []Opcode{OpBinary, OpPing} {
		for _, n := range []int{0, 20, 125, 1000, 60000} {
			if op.IsControl() && n > maxControl {
				continue
			}
			in := maskedBytes(op, strings.Repeat("x", n))
			mallocs(t, op.String()+", whole", func() { run(in) })
			mallocs(t, op.String()+", straddling", func() { run(in[:1], in[1:5], in[5:len(in)/2+3], in[len(in)/2+3:]) })
		}
	}
	bad := []byte{0xFF}
	mallocs(t, "violation", func() { state = State{}; run(bad) })
}

// TestClaimedLength checks that a header alone reserves nothing, and that memory
// grows with what has arrived.
func TestClaimedLength(t *testing.T) {
	bufs := new(countingBuffers)
	cfg := &Config{MaxMessage: -1, Buffers: bufs}
	p := New(cfg)
	h := AppendHeader(nil, Header{Fin: true, Opcode: OpBinary, Masked: true, Length: 1 << 40})
	p.Receive(h)
	p.NextEvent()
	if bufs.gets != 0 {
		t.Errorf("after a header that claims 1 TiB: got %d bytes, want none", bufs.now)
	}
	arrived := 0
	for range 1000 {
		p.Receive(make([]byte, 100))
		p.NextEvent()
		arrived += 100
		if bufs.now > 2*arrived+2*minBuffer {
			t.Fatalf("after %d bytes: got %d, want at most twice that", arrived, bufs.now)
		}
	}
	_, q := p.Suspend()
	if got, want := q.Size(), bufs.now; got != want {
		t.Errorf("Size: got %d, want %d", got, want)
	}
	q.Release(cfg)
	if s := bufs.check(); s != "" {
		t.Error(s)
	}
}

// TestFragments: many small fragments cost memory, and copying, as their sum does.
func TestFragments(t *testing.T) {
	for _, n := range []int{1000, 100_000} {
		in := fragmentsOfOne(n)
		bufs := new(countingBuffers)
		p := New(&Config{MaxMessage: n, Buffers: bufs})
		got := 0
		for _, chunk := range cut(in, 4093) {
			p.Receive(bytes.Clone(chunk))
			for ev := p.NextEvent(); ev.Kind != NoEvent; ev = p.NextEvent() {
				got += len(ev.Data)
			}
		}
		if got != n {
			t.Errorf("%d fragments: got %d bytes", n, got)
		}
		if bufs.top > 3*n || bufs.sum > 4*n {
			t.Errorf("%d fragments: got %d bytes of memory at once and %d in all, want at most %d and %d", n, bufs.top, bufs.sum, 3*n, 4*n)
		}
		if s := bufs.check(); s != "" {
			t.Error(s)
		}
	}
}

// TestEveryFrameIsAnEvent: with Config.Fragments no call reads more than one frame.
func TestEveryFrameIsAnEvent(t *testing.T) {
	const n = 1000
	frame := len(fragmentsOfOne(1))
	p := New(&Config{Fragments: true})
	p.Receive(fragmentsOfOne(n))
	for k := 1; k <= n; k++ {
		want := FragmentEvent
		if k == n {
			want = MessageEvent
		}
		ev, left := p.NextEvent(), (n-k)*frame
		if ev.Kind != want || ev.Opcode != OpText || p.Unread() != left {
			t.Fatalf("frame %d: got %v of %v with %d bytes unread, want %v with %d", k, ev.Kind, ev.Opcode, p.Unread(), want, left)
		}
	}
}

// fragmentsOfOne returns a client's text in n fragments of one byte.
func fragmentsOfOne(n int) []byte {
	f := maskedBytes(OpText, "x")
	f[0] = byte(OpText)
	in := bytes.Repeat(f, n)
	for i := len(f); i < len(in); i += len(f) {
		in[i] = byte(OpContinuation)
	}
	in[len(in)-len(f)] |= finBit
	return in
}

// keepLarge is Buffers that keeps everything, in pieces of 256 KiB.
type keepLarge struct{ keepBuffers }

func (k *keepLarge) Get(n int) []byte {
	if len(k.free) > 0 {
		return k.keepBuffers.Get(n)
	}
	return make([]byte, 0, 256<<10)
}

func BenchmarkFragments(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			wire := fragmentsOfOne(n)
			in := make([]byte, len(wire))
			p := New(&Config{MaxMessage: n, Buffers: new(keepLarge)})
			b.ReportAllocs()
			for b.Loop() {
				copy(in, wire)
				for _, chunk := range cut(in, 64<<10) {
					p.Receive(chunk)
					for ev := p.NextEvent(); ev.Kind != NoEvent; ev = p.NextEvent() {
						if len(ev.Data) != n {
							b.Fatalf("got %v, %d bytes", ev.Kind, len(ev.Data))
						}
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/fragment")
		})
	}
}

func TestTakeCost(t *testing.T) {
	p := New(nil)
	p.Receive(maskedBytes(OpText, "short"))
	p.NextEvent()
	p.Receive(maskedBytes(OpPing, ""))
	p.NextEvent()
	p.Receive(maskedBytes(OpBinary, strings.Repeat("x", 1000)))
	p.NextEvent()
	if got, want := p.TakeCost(), 64+64+1000+4+4; got != want {
		t.Errorf("got %d, want %d", got, want)
	}
	half := maskedBytes(OpText, strings.Repeat("y", 100))
	p.Receive(half[:50])
	p.NextEvent()
	if got := p.TakeCost(); got != 0 {
		t.Errorf("half a frame: got %d, want 0", got)
	}
	p.Receive(half[50:])
	p.NextEvent()
	if got, want := p.TakeCost(), 106; got != want {
		t.Errorf("its other half: got %d, want %d", got, want)
	}
}

func TestAppendErrors(t *testing.T) {
	p := New(nil)
	for _, op := range []Opcode{OpContinuation, OpClose, OpPing, 3, 255} {
		if b, err := p.AppendMessage(nil, op, nil); err != ErrOpcode || b != nil {
			t.Errorf("AppendMessage as %v: got %x, %v, want %v", op, b, err, ErrOpcode)
		}
	}
	if b, err := p.AppendPing(nil, make([]byte, 126)); err != ErrControlTooLong || b != nil {
		t.Errorf("AppendPing of 126: got %x, %v, want %v", b, err, ErrControlTooLong)
	}
	if b, err := p.AppendPing(nil, make([]byte, 125)); err != nil || len(b) != 127 {
		t.Errorf("AppendPing of 125: got %x, %v", b, err)
	}
	if b := p.AppendReply(nil, &Event{Kind: MessageEvent}); b != nil {
		t.Errorf("AppendReply to a message: got %x, want nothing", b)
	}
}

func TestProtocolError(t *testing.T) {
	p := New(nil)
	p.Receive([]byte{0x81, 0x00})
	ev := p.NextEvent()
	var e *ProtocolError
	if !errors.As(ev.Err, &e) || e.Code != StatusProtocolError || ev.Code != e.Code {
		t.Errorf("got %v, %v, want a *ProtocolError with 1002", ev.Code, ev.Err)
	}
	if got, want := ev.Err.Error(), "frame: client frame not masked (1002 protocol error)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestNil checks what nil and zero do.
func TestNil(t *testing.T) {
	var q *Partial
	q.Release(new(Config))
	if q.Size() != 0 {
		t.Errorf("Size of nil: got %d", q.Size())
	}
	p := New(nil)
	p.Receive(nil)
	p.Hold()
	if ev := p.NextEvent(); ev.Kind != NoEvent {
		t.Errorf("no input: got %v", ev.Kind)
	}
	if s, q := p.Suspend(); s != (State{}) || q != nil {
		t.Errorf("fresh: got %v, %v", s, q)
	}
	var zero Protocol
	zero.Resume(new(Config), State{}, nil)
	zero.Receive(maskedBytes(OpText, "x"))
	if ev := zero.NextEvent(); ev.Kind != MessageEvent {
		t.Errorf("zero Protocol: got %v, want message", ev.Kind)
	}
}

// TestFreeListBound checks that a burst of straddling connections is not kept.
func TestFreeListBound(t *testing.T) {
	p, cfg := New(nil), new(Config)
	qs := make([]*Partial, 2*maxFree)
	in := maskedBytes(OpText, "x")
	for i := range qs {
		p.Resume(cfg, State{}, nil)
		p.Receive(in[:2])
		p.NextEvent()
		_, qs[i] = p.Suspend()
	}
	for _, q := range qs {
		p.Resume(cfg, State{}, q)
		p.Receive(bytes.Clone(in[2:]))
		if ev := p.NextEvent(); ev.Kind != MessageEvent {
			t.Fatalf("got %v, want message", ev.Kind)
		}
		p.Suspend()
	}
	if p.free.n != maxFree {
		t.Errorf("got %d, want %d", p.free.n, maxFree)
	}
}
