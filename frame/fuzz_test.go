package frame

import (
	"bytes"
	"errors"
	"io"
	"testing"

	gobwas "github.com/gobwas/ws"
)

// addVectors seeds f with the inputs of short vectors.
func addVectors(f *testing.F, add func(v *vector)) {
	for i, v := range loadVectors(f) {
		if len(v.in) < 200 && i%5 == 0 {
			add(v)
		}
	}
}

// FuzzFrames compares headers, and what a Protocol makes of them, with gobwas/ws.
func FuzzFrames(f *testing.F) {
	addVectors(f, func(v *vector) { f.Add(v.in, v.client) })
	f.Fuzz(func(t *testing.T, in []byte, client bool) {
		p := New(&Config{Client: client, MaxMessage: -1})
		state := gobwas.StateServerSide
		if client {
			state = gobwas.StateClientSide
		}
		for b := in; ; {
			h, n, ok := compareHeaders(t, b)
			if !ok {
				return
			}
			bad := gobwas.CheckHeader(gobwas.Header{
				Fin: h.Fin, Rsv: h.Rsv, OpCode: gobwas.OpCode(h.Opcode), Masked: h.Masked, Length: h.Length,
			}, state)
			if bad == nil && h.Length > int64(len(b)-n) {
				return
			}
			end := len(b)
			if bad == nil {
				end = n + int(h.Length)
			}
			p.Receive(bytes.Clone(b[:end]))
			ev := p.NextEvent()
			if (ev.Kind == ErrorEvent) != (bad != nil) {
				var e *ProtocolError
				if errors.As(ev.Err, &e) && (e.Code == StatusInvalidFramePayloadData || h.Opcode == OpClose) {
					return // gobwas judges payloads elsewhere
				}
				t.Fatalf("frame at %d: got %v, want %v\nin %x", len(in)-len(b), ev.Err, bad, in)
			}
			if p.Done() {
				return
			}
			switch {
			case h.Opcode.IsControl():
			case h.Fin:
				state = state.Clear(gobwas.StateFragmented)
			default:
				state = state.Set(gobwas.StateFragmented)
			}
			b = b[end:]
		}
	})
}

// compareHeaders parses the header at the start of b twice. ok is false when
// there is none.
func compareHeaders(t *testing.T, b []byte) (h Header, n int, ok bool) {
	r := bytes.NewReader(b)
	want, wantErr := gobwas.ReadHeader(r)
	h, n, err := ParseHeader(b)
	switch {
	case errors.Is(err, errLengthNotMinimal):
		// gobwas lets it pass. Is it true?
		if wantErr == nil && (want.Length > 65535 || want.Length > 125 && b[1]&lengthBits == length16) {
			t.Fatalf("got %v for the length %d\nin %x", err, want.Length, b)
		}
		return h, 0, false
	case errors.Is(err, errLengthSign):
		if wantErr == nil {
			t.Fatalf("got %v, want length %d\nin %x", err, want.Length, b)
		}
		return h, 0, false
	case n == 0:
		if !errors.Is(wantErr, io.EOF) && !errors.Is(wantErr, io.ErrUnexpectedEOF) {
			t.Fatalf("got nothing, want %+v, %v\nin %x", want, wantErr, b)
		}
		return h, 0, false
	}
	got := gobwas.Header{Fin: h.Fin, Rsv: h.Rsv, OpCode: gobwas.OpCode(h.Opcode), Masked: h.Masked, Mask: h.Mask, Length: h.Length}
	if wantErr != nil || got != want || n != len(b)-r.Len() {
		t.Fatalf("got %+v, %d, want %+v, %d, %v\nin %x", got, n, want, len(b)-r.Len(), wantErr, b)
	}
	again := AppendHeader(nil, h)
	if !bytes.Equal(again, b[:n]) {
		t.Fatalf("AppendHeader: got %x, want %x", again, b[:n])
	}
	return h, n, true
}

// FuzzRoles lets each role read what the other wrote.
func FuzzRoles(f *testing.F) {
	f.Add(byte(OpText), []byte("Hello"), "bye")
	f.Add(byte(OpPing), []byte("ping"), "")
	f.Add(byte(OpBinary), bytes.Repeat([]byte{0xFE}, 300), "é")
	f.Fuzz(func(t *testing.T, op byte, payload []byte, reason string) {
		for _, client := range []bool{false, true} {
			from := New(&Config{Client: client, MaxMessage: -1})
			to := New(&Config{Client: !client, MaxMessage: -1})
			var out []byte
			var err error
			want := Event{Kind: MessageEvent, Opcode: OpBinary}
			switch Opcode(op) {
			case OpPing:
				payload = payload[:min(len(payload), maxControl)]
				want = Event{Kind: PingEvent, Opcode: OpPing}
				out, err = from.AppendPing(nil, payload)
			case OpText:
				if validUTF8(utf8Accept, payload) == utf8Accept {
					want.Opcode = OpText
				}
				fallthrough
			default:
				out, err = from.AppendMessage(nil, want.Opcode, payload)
			}
			if err != nil {
				t.Fatal(err)
			}
			if out, err = from.AppendClose(out, StatusGoingAway, reason); err != nil {
				t.Fatal(err)
			}
			wire := bytes.Clone(out)
			to.Receive(out)
			got := to.NextEvent()
			if got.Kind != want.Kind || got.Opcode != want.Opcode || !bytes.Equal(got.Data, payload) {
				t.Fatalf("client %t: got %v %v %x, want %v %v %x\nin %x", client, got.Kind, got.Opcode, got.Data, want.Kind, want.Opcode, payload, wire)
			}
			got = to.NextEvent()
			if cut := reason[:reasonLength(reason)]; got.Kind != CloseEvent || got.Code != StatusGoingAway || string(got.Data) != cut {
				t.Fatalf("client %t: got %v %v %x, want close 1001 %x\nin %x", client, got.Kind, got.Code, got.Data, cut, wire)
			}
			if ev := to.NextEvent(); ev.Kind != NoEvent {
				t.Fatalf("client %t: after close: got %v, want none", client, ev.Kind)
			}
		}
	})
}

// FuzzChunks cuts the input anywhere, and holds, suspends and resumes anywhere.
// Each byte of cuts is the length of a chunk, in the low six bits; how says whether
// to suspend, whether deflate is negotiated, and how often to hold.
func FuzzChunks(f *testing.F) {
	addVectors(f, func(v *vector) {
		how := byte(0x81)
		if v.window != 0 {
			how |= 0x40
		}
		f.Add(v.in, v.client, []byte{1, 2, 3, 4, 5, 60}, how, uint16(0))
	})
	p := New(nil)
	f.Fuzz(func(t *testing.T, in []byte, client bool, cuts []byte, how byte, limit uint16) {
		v := &vector{name: "fuzz", client: client, max: int(limit), in: in}
		if how&0x40 != 0 {
			v.window = MaxWindow
		}
		want := echo(t, p, v, pauses{}, in)
		var chunks [][]byte
		for _, c := range cuts {
			n := min(int(c&63), len(in))
			chunks = append(chunks, in[:n])
			in = in[n:]
		}
		chunks = append(chunks, in)
		pause := pauses{suspend: how&0x80 != 0, hold: int(how & 7)}
		if got := echo(t, p, v, pause, chunks...); !got.equal(want) {
			t.Fatalf("%+v, %d chunks:\ngot\n  %v\nwant\n  %v\nin %x", pause, len(chunks), got, want, v.in)
		}
	})
}
