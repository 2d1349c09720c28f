package frame

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestBomb: a thousand bytes out for each that came in end at the limit, in the
// memory and, give or take a window, the work of a message that is just allowed.
func TestBomb(t *testing.T) {
	t.Parallel()
	zeros := stdDeflate(t, make([]byte, 16<<20), 9) // 16 KiB on the wire
	if ratio := 16 << 20 / len(zeros); ratio < 1000 {
		t.Fatalf("a bomb of %d:1", ratio)
	}
	bufs := new(countingBuffers)
	cfg := &Config{Buffers: bufs, MaxMessage: 64 << 10}
	z := inflaters.Get().(*inflater)
	defer z.free()
	z.open(zeros)
	room := make([]byte, cfg.limit())
	for n := 0; n < len(room); {
		m, err := z.read(room[n:])
		if err != nil {
			t.Fatal(err)
		}
		n += m
	}
	if used := len(zeros) - z.src.left(); used > len(zeros)/100 {
		t.Errorf("%d of %d bytes were read for the first %d", used, len(zeros), len(room))
	}

	wire := AppendHeader(nil, Header{Fin: true, Rsv: 4, Opcode: OpBinary, Masked: true, Length: int64(len(zeros))})
	wire = append(wire, zeros...)
	p := New(cfg)
	start := time.Now()
	const rounds = 20
	for range rounds {
		p.Resume(cfg, NewState(MaxWindow), nil)
		p.Receive(wire) // the masking key is zero: it stays what it is
		if ev := p.NextEvent(); ev.Kind != ErrorEvent || ev.Code != StatusMessageTooBig {
			t.Fatalf("got %v %v, want an error 1009", ev.Kind, ev.Err)
		}
		if _, q := p.Suspend(); q != nil {
			t.Fatalf("%d bytes are left", q.Size())
		}
	}
	t.Logf("%v for each", time.Since(start)/rounds)
	if bufs.top > 2*int(cfg.limit()) {
		t.Errorf("%d bytes were out at once, the limit is %d", bufs.top, cfg.limit())
	}
	if s := bufs.check(); s != "" {
		t.Error(s)
	}
}

// TestInflateMemory: the message costs at most twice its size, or four times its
// wire's, whatever the limit.
func TestInflateMemory(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 100, 5000, 1 << 20} {
		for _, msg := range [][]byte{jsonLike(n), make([]byte, n), noise(n)} {
			bufs := new(countingBuffers)
			z := stdDeflate(t, msg, 6)
			cfg := &Config{Buffers: bufs, MaxMessage: -1}
			got, bad := cfg.inflate(z)
			if bad != nil || !bytes.Equal(got, msg) {
				t.Fatalf("%d bytes: got %s, %v", n, brief(got), bad)
			}
			if most := max(2*minBuffer, 2*n, 4*len(z)); cap(got) > most {
				t.Errorf("%d bytes, %d on the wire: got memory of %d, want at most %d", n, len(z), cap(got), most)
			}
			cfg.put(got)
			if s := bufs.check(); s != "" {
				t.Error(s)
			}
		}
	}
}

// TestInflateLimit: buffers may be larger than asked for; the limit holds anyway.
func TestInflateLimit(t *testing.T) {
	for _, limit := range []int{1, 31, 32, 33, 1000, 32767, 32768, 32769} {
		cfg := &Config{MaxMessage: limit, Buffers: new(keepBuffers)}
		for _, n := range []int{limit - 1, limit, limit + 1} {
			got, bad := cfg.inflate(stdDeflate(t, jsonLike(n), 6))
			if n <= limit && (bad != nil || !bytes.Equal(got, jsonLike(n))) || n > limit && bad != errTooBig {
				t.Errorf("limit %d, %d bytes: got %s, %v", limit, n, brief(got), bad)
			}
			cfg.put(got)
		}
	}
}

// TestInflaterForgets: a message leaves nothing in the inflater for the next.
func TestInflaterForgets(t *testing.T) {
	cfg := new(Config)
	for range 100 {
		if _, bad := cfg.inflate(stdDeflate(t, []byte("secret"), 6)); bad != nil {
			t.Fatal(bad)
		}
		if got, bad := cfg.inflate([]byte("\xf2\x00\x11\x00\x00")); bad == nil {
			t.Fatalf("a reference to the last message: got %q", got)
		}
	}
}

// TestEmptyDistanceCode: a block without distances that refers back all the same is
// refused, whatever came before. klauspost's inflater reads it by the code of an earlier
// block, or of the message before, which may be somebody else's.
func TestEmptyDistanceCode(t *testing.T) {
	payload := packBits(
		"0", "01", // a block with its own codes, §3.2.7
		field(258-257, 5), field(0, 5), field(18-4, 4), // symbols up to 257, one distance, up to lengthOrder[17]
		field(0, 3), field(0, 3), field(2, 3), field(2, 3), strings.Repeat(field(0, 3), 11), field(2, 3), field(0, 3), field(2, 3),
		"11", field(97-11, 7), "01", // until 'a', which is 0
		"11", field(138-11, 7), "11", field(20-11, 7), "10", "10", // until 256, which is 10; 257 is 11
		"00", // and no distance
		strings.Repeat("0", 40_000), "11", strings.Repeat("0", 100), "10", "000",
	)
	cfg := &Config{MaxMessage: 1 << 20}
	for k := range 100 {
		if _, bad := cfg.inflate(stdDeflate(t, jsonLike(1000+k), 6)); bad != nil {
			t.Fatal(bad)
		}
		if got, bad := cfg.inflate(payload); bad != errDeflate || len(got) != 40_000 {
			t.Fatalf("got %d bytes, %v, want 40000 and %v", len(got), bad, errDeflate)
		}
	}
}

// field returns n bits, the lowest first: what is no Huffman code, RFC 1951 §3.1.1.
func field(v, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = '0' + byte(v>>i&1)
	}
	return string(b)
}

// packBits returns the bytes of bits.
func packBits(all ...string) (b []byte) {
	for i, bit := range strings.Join(all, "") {
		if i%8 == 0 {
			b = append(b, 0)
		}
		b[i/8] |= byte(bit-'0') << (i % 8)
	}
	return b
}

// BenchmarkInflate inflates messages of JSON-like text, and of noise.
func BenchmarkInflate(b *testing.B) {
	for _, n := range []int{100, 1 << 10, 16 << 10} {
		for name, msg := range map[string][]byte{"text": jsonLike(n), "noise": noise(n)} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				z := stdDeflate(b, msg, 6)
				cfg := &Config{MaxMessage: -1, Buffers: new(keepBuffers)}
				b.SetBytes(int64(n))
				b.ReportAllocs()
				for b.Loop() {
					msg, bad := cfg.inflate(z)
					if bad != nil {
						b.Fatal(bad)
					}
					cfg.put(msg)
				}
			})
		}
	}
}

// TestSkipped: a compressed message that is not inflated leaves nothing behind, whatever is
// in it and however it comes, and the next one is read as if it had not been there.
func TestSkipped(t *testing.T) {
	t.Parallel()
	frames := func(op Opcode, payload []byte) (b []byte) {
		return append(AppendHeader(b, Header{Fin: true, Rsv: 4, Opcode: op, Masked: true, Length: int64(len(payload))}), payload...)
	}
	bad := [][]byte{
		[]byte("this is not deflate"),
		stdDeflate(t, []byte{0xff, 0xfe}, 6),  // no UTF-8
		stdDeflate(t, make([]byte, 1<<20), 9), // too large
		stdDeflate(t, jsonLike(5000), 9),      // nothing is wrong with it
	}
	good := []byte("and this is read")
	var wire []byte
	for _, payload := range bad {
		wire = append(wire, frames(OpText, payload)...)
		half := AppendHeader(nil, Header{Rsv: 4, Opcode: OpText, Masked: true, Length: int64(len(payload))})
		wire = append(append(wire, half...), payload...)
		wire = AppendHeader(wire, Header{Fin: true, Opcode: OpContinuation, Masked: true})
	}
	skipped := 2 * len(bad)
	wire = append(wire, frames(OpText, stdDeflate(t, good, 6))...)
	for _, piece := range []int{len(wire), 1, 7} {
		bufs := new(countingBuffers)
		cfg := &Config{Buffers: bufs, KeepDeflated: true}
		p := New(cfg)
		var got []string
		s, q := NewState(MaxWindow), (*Partial)(nil)
		for _, chunk := range cut(bytes.Clone(wire), piece) {
			p.Resume(cfg, s, q)
			p.Receive(chunk)
			for ev := p.NextEvent(); ev.Kind != NoEvent; ev = p.NextEvent() {
				if len(got) == skipped {
					p.Inflate()
				}
				got = append(got, describe(ev.Kind.String(), 0, ev.Data))
				if ev.Kind == ErrorEvent {
					break
				}
			}
			s, q = p.Suspend()
		}
		if len(got) != skipped+1 || got[skipped] != describe("message", 0, good) {
			t.Errorf("%d bytes at a time: got %q", piece, got)
		}
		if m := bufs.check(); m != "" {
			t.Errorf("%d bytes at a time: %s", piece, m)
		}
	}
}
