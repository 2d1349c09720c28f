package frame

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestMask(t *testing.T) {
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	src := make([]byte, 300)
	for i := range src {
		src[i] = byte(rand.Uint32())
	}
	for n := range len(src) {
		for pos := range 4 {
			got, want := bytes.Clone(src[:n]), bytes.Clone(src[:n])
			gotPos, wantPos := Mask(got, key, pos), naiveMask(want, key, pos)
			to := make([]byte, n)
			if xorTo(to, src[:n], wideKey(key, pos)); !bytes.Equal(to, want) {
				t.Fatalf("xorTo, %d bytes from %d:\ngot  %x\nwant %x\nin   %x", n, pos, to, want, src[:n])
			}
			if !bytes.Equal(got, want) || gotPos != wantPos {
				t.Fatalf("%d bytes from %d:\ngot  %x, next %d\nwant %x, next %d\nin   %x", n, pos, got, gotPos, want, wantPos, src[:n])
			}
		}
	}
}

func FuzzMask(f *testing.F) {
	f.Add([]byte("Hello"), []byte{0x37, 0xfa, 0x21, 0x3d}, uint(0), uint(2))
	f.Add(bytes.Repeat([]byte("0123456789"), 30), []byte{1, 2, 3, 4}, uint(3), uint(65))
	f.Fuzz(func(t *testing.T, b, k []byte, pos, at uint) {
		var key [4]byte
		copy(key[:], k)
		start := int(pos % 4)
		at %= uint(len(b) + 1)
		got, want := bytes.Clone(b), bytes.Clone(b)
		next := Mask(got[at:], key, Mask(got[:at], key, start))
		if wantNext := naiveMask(want, key, start); !bytes.Equal(got, want) || next != wantNext {
			t.Fatalf("key %x, from %d, split at %d:\ngot  %x, next %d\nwant %x, next %d\nin   %x", key, start, at, got, next, want, wantNext, b)
		}
	})
}
