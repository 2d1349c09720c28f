package frame

import (
	"bytes"
	"testing"
)

func TestHeader(t *testing.T) {
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	for _, test := range []struct {
		h    Header
		want string
	}{
		{Header{}, "\x00\x00"},
		{Header{Fin: true, Opcode: OpText, Length: 5}, "\x81\x05"},
		{Header{Fin: true, Rsv: 4, Opcode: OpText, Length: 125}, "\xc1\x7d"},
		{Header{Rsv: 7, Opcode: 15, Length: 126}, "\x7f\x7e\x00\x7e"},
		{Header{Fin: true, Opcode: OpBinary, Length: 65535}, "\x82\x7e\xff\xff"},
		{Header{Fin: true, Opcode: OpBinary, Length: 65536}, "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"},
		{Header{Fin: true, Opcode: OpBinary, Length: 1<<63 - 1}, "\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"},
		{Header{Fin: true, Opcode: OpPing, Masked: true, Mask: key}, "\x89\x80\x37\xfa\x21\x3d"},
		{Header{Opcode: OpText, Masked: true, Mask: key, Length: 200}, "\x01\xfe\x00\xc8\x37\xfa\x21\x3d"},
		{Header{Opcode: OpText, Masked: true, Mask: key, Length: 1 << 32}, "\x01\xff\x00\x00\x00\x01\x00\x00\x00\x00\x37\xfa\x21\x3d"},
	} {
		got := AppendHeader([]byte("dst"), test.h)
		if string(got) != "dst"+test.want {
			t.Errorf("AppendHeader(%+v):\ngot  %x\nwant %x", test.h, got[3:], test.want)
		}
		if got, want := test.h.size(), int64(len(test.want)); got != want {
			t.Errorf("%+v: size %d, want %d", test.h, got, want)
		}
		h, n, err := ParseHeader([]byte(test.want + "more"))
		if h != test.h || n != len(test.want) || err != nil {
			t.Errorf("ParseHeader: got %+v, %d, %v, want %+v, %d\nin %x", h, n, err, test.h, len(test.want), test.want)
		}
		for i := range len(test.want) {
			if _, n, err := ParseHeader([]byte(test.want[:i])); n != 0 || err != nil {
				t.Errorf("ParseHeader: got %d, %v, want 0\nin %x", n, err, test.want[:i])
			}
		}
	}
}

func TestParseHeaderErrors(t *testing.T) {
	for _, test := range []struct {
		in    string
		want  error
		after int // bytes that prove it
	}{
		{"\x81\x7e\x00\x7d", errLengthNotMinimal, 4},
		{"\x81\xfe\x00\x00\x01\x02\x03\x04", errLengthNotMinimal, 4},
		{"\x81\x7f\x00\x00\x00\x00\x00\x00\xff\xff", errLengthNotMinimal, 8},
		{"\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x00", errLengthSign, 3},
		{"\x81\xff\xff", errLengthSign, 3},
	} {
		for i := range len(test.in) + 1 {
			_, n, err := ParseHeader([]byte(test.in[:i]))
			if n != 0 || i >= test.after && err != test.want || i < test.after && err != nil {
				t.Errorf("got %d, %v, want %v from byte %d on\nin %x", n, err, test.want, test.after, test.in[:i])
			}
		}
	}
}

func TestAppendFrame(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536} {
		payload := bytes.Repeat([]byte("p"), n)
		want := append(AppendHeader(nil, Header{Fin: true, Opcode: OpBinary, Length: int64(n)}), payload...)
		if got := AppendFrame(nil, OpBinary, payload); !bytes.Equal(got, want) {
			t.Errorf("%d bytes: got %s, want %s", n, brief(got), brief(want))
		}
		m := Prepare(OpBinary, payload)
		if !bytes.Equal(m.Bytes(), want) || !bytes.Equal(m.Payload(), payload) || m.Opcode() != OpBinary {
			t.Errorf("prepared, %d bytes: got %v %s, want %s", n, m.Opcode(), brief(m.Bytes()), brief(want))
		}
	}
}

func TestNames(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{OpContinuation.String(), "continuation"},
		{OpPong.String(), "pong"},
		{Opcode(3).String(), "opcode 3"},
		{StatusGoingAway.String(), "1001 going away"},
		{StatusCode(4401).String(), "4401"},
		{MessageEvent.String(), "message"},
		{EventKind(99).String(), "event 99"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

func TestSendable(t *testing.T) {
	for c := range 1 << 16 {
		want := c >= 3000 && c < 5000
		switch c {
		case 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014:
			want = true
		}
		if got := StatusCode(c).Sendable(); got != want {
			t.Errorf("%d: got %t, want %t", c, got, want)
		}
	}
}
