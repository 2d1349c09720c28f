package frame

import (
	"bytes"
	"testing"

	"github.com/usher-ws/usher/internal/vectors"
)

// TestRoles: what a client's encoder says is what a server's says, masked; the two parts of
// a payload are one, and nothing before them is touched.
func TestRoles(t *testing.T) {
	server, client := &Config{}, &Config{Client: true, MaskKey: func() [4]byte { return vectors.Key }}
	unmasked := func(b []byte) []byte {
		h, n, err := ParseHeader(b)
		if err != nil || n == 0 || !h.Masked || h.Mask != vectors.Key || h.Length != int64(len(b)-n) {
			t.Fatalf("a client's frame of %d bytes: %+v, %d, %v", len(b), h, n, err)
		}
		data := bytes.Clone(b[n:])
		Mask(data, h.Mask, 0)
		h.Masked = false
		return append(AppendHeader(nil, h), data...)
	}
	for _, size := range []int{0, 1, 125, 126, 65535, 65536} {
		payload := bytes.Repeat([]byte("usher"), size/5+1)[:size]
		want := AppendFrame(nil, OpBinary, payload)
		for _, cut := range []int{0, size / 3, size} {
			if got := server.AppendFrame([]byte("in front"), OpBinary, payload[:cut], payload[cut:]); string(got) != "in front"+string(want) {
				t.Errorf("server, %d bytes cut at %d: got %.40x, want %.40x", size, cut, got, want)
			}
			got := client.AppendFrame([]byte("in front"), OpBinary, payload[:cut], payload[cut:])
			if rest, ok := bytes.CutPrefix(got, []byte("in front")); !ok || !bytes.Equal(unmasked(rest), want) {
				t.Errorf("client, %d bytes cut at %d: got %.40x, want %.40x masked", size, cut, got, want)
			}
		}
	}
	for _, code := range []StatusCode{0, StatusNoStatusRcvd, StatusNormalClosure, 4999, 999} {
		want := AppendCloseFrame(nil, code, "bye")
		if got := server.AppendCloseFrame(nil, code, "bye"); !bytes.Equal(got, want) {
			t.Errorf("server, code %d: got %x, want %x", code, got, want)
		}
		if got := client.AppendCloseFrame(nil, code, "bye"); !bytes.Equal(unmasked(got), want) {
			t.Errorf("client, code %d: got %x, want %x masked", code, got, want)
		}
	}
}

// TestEncodersAllocateNothing: there is room, and then nothing else is needed.
func TestEncodersAllocateNothing(t *testing.T) {
	out, payload := make([]byte, 0, 1024), make([]byte, 300)
	for _, cfg := range []*Config{{}, {Client: true}} {
		if n := testing.AllocsPerRun(100, func() {
			cfg.AppendFrame(out, OpText, payload[:16], payload[16:])
			cfg.AppendCloseFrame(out, StatusGoingAway, "bye")
		}); n != 0 {
			t.Errorf("client %t: %v allocations", cfg.Client, n)
		}
	}
}
