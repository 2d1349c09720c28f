package frame

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	second "github.com/klauspost/compress/flate"

	"github.com/usher-ws/usher/internal/vectors"
)

// raceEnabled: the race detector makes sync.Pool forget, and so allocate.
var raceEnabled bool

// jsonLike returns n bytes of what applications send each other.
func jsonLike(n int) []byte {
	r := rand.New(rand.NewPCG(7692, uint64(n)))
	words := strings.Fields("the usher checks your ticket at door and seats a very large audience")
	var b []byte
	for len(b) < n {
		b = fmt.Appendf(b, `{"id":%d,"from":"%s","at":%d,"text":"`, r.IntN(1e6), words[r.IntN(13)], 1763600000+r.IntN(1e6))
		for range 3 + r.IntN(12) {
			b = append(append(b, words[r.IntN(13)]...), ' ')
		}
		b = append(b, `"},`...)
	}
	return b[:n]
}

// noise returns n bytes that nothing makes smaller.
func noise(n int) []byte {
	r := rand.New(rand.NewPCG(7692, uint64(n)))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// inflateBy returns the message that payload is by a library's reader.
func inflateBy(newReader func(io.Reader) io.ReadCloser, payload []byte, limit int) ([]byte, error) {
	tail := []byte(flushTail + finalBlock)
	if len(payload) == 0 || bytes.HasSuffix(payload, tail[:4]) {
		tail = tail[4:]
	}
	r := bytes.NewReader(append(bytes.Clone(payload), tail...))
	var msg []byte
	for {
		b, err := io.ReadAll(io.LimitReader(newReader(r), int64(limit-len(msg)+1)))
		msg = append(msg, b...)
		switch {
		case len(msg) > limit:
			return nil, errTooBig
		case err != nil:
			return nil, err
		case r.Len() <= len(tail):
			return msg, nil
		}
	}
}

// stdWriters are compress/flate's, by level from -2: they are dear to make.
var stdWriters [12]sync.Pool

// stdDeflate returns a compressed message's payload by compress/flate.
func stdDeflate(tb testing.TB, msg []byte, level int) []byte {
	tb.Helper()
	var b bytes.Buffer
	w, ok := stdWriters[level+2].Get().(*flate.Writer)
	if ok {
		w.Reset(&b)
	} else {
		w, _ = flate.NewWriter(&b, level)
	}
	_, _ = w.Write(msg)
	_ = w.Flush()
	stdWriters[level+2].Put(w)
	z, ok := bytes.CutSuffix(b.Bytes(), []byte("\x00\x00\xff\xff"))
	if !ok {
		tb.Fatalf("no flush at the end of %x", b.Bytes())
	}
	return z
}

// deflatedFrame returns a client's compressed message.
func deflatedFrame(tb testing.TB, op Opcode, msg []byte) []byte {
	z := stdDeflate(tb, msg, 6)
	f := AppendHeader(nil, Header{Fin: true, Rsv: 4, Opcode: op, Masked: true, Mask: vectors.Key, Length: int64(len(z))})
	n := len(f)
	f = append(f, z...)
	Mask(f[n:], vectors.Key, 0)
	return f
}

// readDeflated parses the one frame that wire is, and returns its message.
func readDeflated(tb testing.TB, wire []byte) (h Header, msg []byte) {
	tb.Helper()
	h, n, err := ParseHeader(wire)
	if err != nil || n == 0 || h.Length != int64(len(wire)-n) || !h.Fin || h.Rsv&3 != 0 {
		tb.Fatalf("header %+v, %v\nin %s", h, err, brief(wire))
	}
	payload := bytes.Clone(wire[n:])
	if h.Masked {
		Mask(payload, h.Mask, 0)
	}
	if h.Rsv == 0 {
		return h, payload
	}
	if msg, err = inflateBy(flate.NewReader, payload, 1<<26); err != nil {
		tb.Fatalf("compress/flate: %v\nin %s", err, brief(wire))
	}
	return h, msg
}

func TestAppendDeflated(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		msg  []byte
		rsv  byte
	}{
		{"nothing", nil, 0},
		{"511 bytes", jsonLike(511), 0},
		{"512 bytes", jsonLike(512), 4},
		{"to under 126", bytes.Repeat([]byte("x"), 600), 4},
		{"JSON of 1 KiB", jsonLike(1 << 10), 4},
		{"JSON of 64 KiB - 1", jsonLike(1<<16 - 1), 4},
		{"JSON of 64 KiB", jsonLike(1 << 16), 4},
		{"JSON of 1 MiB", jsonLike(1 << 20), 4},
		{"noise of 512", noise(512), 0},
		{"noise of 64 KiB", noise(1 << 16), 0},
		{"noise of 1 MiB", noise(1 << 20), 0},
		{"noise, then text", append(noise(5000), jsonLike(5000)...), 4},
	} {
		for _, client := range []bool{false, true} {
			p := New(&Config{Client: client})
			p.EnableDeflate(MaxWindow)
			before := []byte("before")
			out, err := p.AppendMessage(before, OpBinary, test.msg)
			if err != nil || !bytes.HasPrefix(out, before) {
				t.Fatalf("%s: %v, %s", test.name, err, brief(out))
			}
			out = out[len(before):]
			h, msg := readDeflated(t, out)
			if h.Rsv != test.rsv || h.Opcode != OpBinary || h.Masked != client || !bytes.Equal(msg, test.msg) {
				t.Errorf("%s, client %t: got %+v %s, want RSV %d %s", test.name, client, h, brief(msg), test.rsv, brief(test.msg))
			}
			if !client && !bytes.Equal(out, AppendDeflated(nil, OpBinary, test.msg, MaxWindow)) {
				t.Errorf("%s: AppendDeflated differs from AppendMessage", test.name)
			}
			if plain, _ := New(p.cfg).AppendMessage(nil, OpBinary, test.msg); (len(out) < len(plain)) != (test.rsv == 4) {
				t.Errorf("%s: %d bytes, %d without compression", test.name, len(out), len(plain))
			}
		}
	}
}

// TestAppendDeflatedErrors: what is refused uncompressed is refused here too.
func TestAppendDeflatedErrors(t *testing.T) {
	p := New(nil)
	p.EnableDeflate(MaxWindow)
	if b, err := p.AppendMessage(nil, OpPing, jsonLike(600)); err != ErrOpcode || b != nil {
		t.Errorf("ping: got %x, %v, want %v", b, err, ErrOpcode)
	}
	p.AppendClose(nil, StatusGoingAway, "")
	if b, err := p.AppendMessage(nil, OpText, jsonLike(600)); err != ErrClosed || b != nil {
		t.Errorf("after close: got %x, %v, want %v", b, err, ErrClosed)
	}
}

func TestPreparedDeflated(t *testing.T) {
	for _, msg := range [][]byte{nil, jsonLike(511), jsonLike(4096), noise(4096)} {
		m := Prepare(OpText, msg)
		var wg sync.WaitGroup
		got := make([][]byte, 8)
		for i := range got {
			wg.Go(func() { got[i] = m.Deflated(MaxWindow) })
			wg.Go(func() { m.Deflated(minWindow + Window(i)) })
		}
		wg.Wait()
		want := AppendDeflated(nil, OpText, msg, MaxWindow)
		for _, b := range got {
			if !bytes.Equal(b, want) {
				t.Fatalf("got %s, want %s", brief(b), brief(want))
			}
			if &b[0] != &got[0][0] {
				t.Fatal("made twice")
			}
		}
		if plain := AppendFrame(nil, OpText, msg); !bytes.Equal(m.Bytes(), plain) || !bytes.Equal(m.Payload(), msg) {
			t.Errorf("Bytes %s, want %s", brief(m.Bytes()), brief(plain))
		} else if shared := &got[0][0] == &m.Bytes()[0]; shared != bytes.Equal(want, plain) {
			t.Errorf("%d bytes: memory shared is %t", len(msg), shared)
		}
		if b := got[0]; cap(b) > len(b)+len(b)/4 {
			t.Errorf("%d bytes in memory of %d", len(b), cap(b))
		}
		for w := minWindow; w <= MaxWindow; w++ {
			if got, want := m.Deflated(w), AppendDeflated(nil, OpText, msg, w); !bytes.Equal(got, want) {
				t.Errorf("window %d: got %s, want %s", w, brief(got), brief(want))
			}
		}
		if got := m.Deflated(0); !bytes.Equal(got, m.Bytes()) {
			t.Errorf("no window: got %s", brief(got))
		}
	}
}

// TestDeflateState: the window travels in State, and only there.
func TestDeflateState(t *testing.T) {
	cfg := new(Config)
	p := New(cfg)
	read := func(s State) (State, EventKind) {
		p.Resume(cfg, s, nil)
		p.Receive(deflatedFrame(t, OpText, []byte("Hello")))
		kind := p.NextEvent().Kind
		s, _ = p.Suspend()
		return s, kind
	}
	on, kind := read(NewState(9))
	if kind != MessageEvent || on.Window() != 9 {
		t.Errorf("negotiated: got %v, window %d", kind, on.Window())
	}
	if s, kind := read(State{}); kind != ErrorEvent || s.Window() != 0 {
		t.Errorf("not negotiated: got %v, window %d", kind, s.Window())
	}
	if _, kind := read(on); kind != MessageEvent {
		t.Errorf("again: got %v", kind)
	}
	if NewState(0) != (State{}) {
		t.Error("NewState(0) is not the zero State")
	}
}

func TestDeflateMallocs(t *testing.T) {
	if raceEnabled {
		t.Skip("counts are not ours under the race detector")
	}
	cfg := &Config{Buffers: new(keepBuffers)}
	p := New(cfg)
	var out []byte
	// The long one has few symbols: for codes of more than 9 bits compress/flate allocates.
	for _, msg := range [][]byte{jsonLike(5), jsonLike(600), bytes.Repeat([]byte("usher "), 3000)} {
		n := len(msg)
		wire := deflatedFrame(t, OpText, msg)
		in := make([]byte, len(wire))
		m := Prepare(OpText, msg)
		for _, cut := range []int{0, len(wire) / 2} {
			w := MaxWindow
			if cut > 0 {
				w = 9
			}
			m.Deflated(w)
			mallocs(t, fmt.Sprintf("%d bytes, cut at %d, window %d", n, cut, w), func() {
				copy(in, wire)
				p.Resume(cfg, NewState(w), nil)
				out = out[:0]
				for _, chunk := range [][]byte{in[:cut], in[cut:]} {
					p.Receive(chunk)
					for ev := p.NextEvent(); ev.Kind != NoEvent; ev = p.NextEvent() {
						out, _ = p.AppendMessage(out, ev.Opcode, ev.Data)
						out = AppendDeflated(out, ev.Opcode, ev.Data, w)
						out = append(out, m.Deflated(w)...)
					}
				}
				p.Suspend()
			})
		}
		if len(out) == 0 {
			t.Fatal("nothing came back")
		}
	}
}

// FuzzDeflate lets compress/flate read what we write, and us what it writes.
func FuzzDeflate(f *testing.F) {
	f.Add([]byte("Hello"), byte(0), false)
	f.Add(jsonLike(700), byte(1), true)
	f.Add(noise(600), byte(6), false)
	f.Add(bytes.Repeat([]byte("ab"), 1000), byte(9), true)
	f.Add(append(noise(1000), jsonLike(1000)...), byte(11), false)
	f.Fuzz(func(t *testing.T, msg []byte, level byte, client bool) {
		from, to := New(&Config{Client: client}), New(&Config{Client: !client, MaxMessage: -1})
		from.EnableDeflate(MaxWindow)
		to.EnableDeflate(MaxWindow)
		wire, err := from.AppendMessage(nil, OpBinary, msg)
		if err != nil {
			t.Fatal(err)
		}
		if _, got := readDeflated(t, wire); !bytes.Equal(got, msg) {
			t.Fatalf("compress/flate reads %x\nin %x\nwire %x", got, msg, wire)
		}
		to.Receive(bytes.Clone(wire))
		if ev := to.NextEvent(); ev.Kind != MessageEvent || !bytes.Equal(ev.Data, msg) {
			t.Fatalf("we read %v %v %x\nin %x\nwire %x", ev.Kind, ev.Err, ev.Data, msg, wire)
		}
		z := stdDeflate(t, msg, int(level%12)-2)
		got, bad := (&Config{MaxMessage: -1}).inflate(z)
		if bad != nil || !bytes.Equal(got, msg) {
			t.Fatalf("compress/flate wrote %x, we read %x, %v\nin %x", z, got, bad, msg)
		}
	})
}

// FuzzInflate compares us with RFC 1951 in a page on what may be DEFLATE or not: what is
// let in, and the bytes. klauspost's inflater is heard where it has an opinion, too.
func FuzzInflate(f *testing.F) {
	for _, v := range loadVectors(f) {
		if h, n, err := ParseHeader(v.in); v.window != 0 && err == nil && n > 0 && h.Length <= int64(min(1000, len(v.in)-n)) && h.Fin {
			z := bytes.Clone(v.in[n:][:h.Length])
			if h.Masked {
				Mask(z, h.Mask, 0)
			}
			f.Add(z, uint16(v.max))
		}
	}
	codes := stdDeflate(f, jsonLike(1000), 6) // with codes of its own
	f.Fuzz(func(t *testing.T, payload []byte, limit uint16) {
		bufs := new(countingBuffers)
		cfg := &Config{MaxMessage: int(limit), Buffers: bufs}
		before := bytes.Clone(payload)
		got, bad := cfg.inflate(payload)
		want, _, err := vectors.Inflate(payload)
		isLarge := int64(len(want)) > cfg.limit()
		switch {
		case int64(len(got)) > cfg.limit():
			t.Fatalf("limit %d: got %d bytes, %v\nin %x", limit, len(got), bad, payload)
		case bad == nil && err == nil && bytes.Equal(got, want):
		case bad == errTooBig && isLarge && bytes.Equal(got, want[:cfg.limit()]):
		case bad == errTooBig && err != nil && int64(len(got)) == cfg.limit():
			// It would have passed the limit before it turned out not to inflate.
		case bad == errDeflate && err != nil:
		default:
			t.Fatalf("limit %d: got %x, %v, want %x, %v\nin %x", limit, got, bad, want, err, payload)
		}
		if other, err := inflateBy(second.NewReader, payload, int(cfg.limit())); bad == nil && err == nil && !bytes.Equal(got, other) {
			t.Fatalf("limit %d: got %x, klauspost's has %x\nin %x", limit, got, other, payload)
		}
		if !bytes.Equal(payload, before) {
			t.Fatalf("payload changed to %x\nin %x", payload, before)
		}
		// What another message leaves behind changes nothing, be it whole or broken.
		for _, other := range [][]byte{codes, payload[:len(payload)/2]} {
			left, _ := cfg.inflate(other)
			again, badAgain := cfg.inflate(payload)
			if badAgain != bad || !bytes.Equal(again, got) {
				t.Fatalf("limit %d: got %x, %v, and behind %x %x, %v\nin %x", limit, got, bad, other, again, badAgain, payload)
			}
			cfg.put(left)
			cfg.put(again)
		}
		cfg.put(got)
		if s := bufs.check(); s != "" {
			t.Fatalf("memory: %s\nin %x", s, payload)
		}
	})
}
