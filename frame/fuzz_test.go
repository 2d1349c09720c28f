package frame

import (
	"bytes"
	"testing"
)

// addVectors seeds f with the inputs of short vectors.
func addVectors(f *testing.F, add func(v *vector)) {
	for i, v := range loadVectors(f) {
		if len(v.in) < 200 && i%5 == 0 {
			add(v)
		}
	}
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
