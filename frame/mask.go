package frame

import (
	"encoding/binary"
	"math/bits"
)

// Mask masks or unmasks b in place (RFC 6455 §5.3). pos is b's offset in the
// payload, or what Mask returned for the bytes before b; Mask returns the
// position for the bytes after b.
func Mask(b []byte, key [4]byte, pos int) int {
	xor(b, wideKey(key, pos))
	return (pos + len(b)) & 3
}

// wideKey returns the key repeated and rotated so that its first byte in memory
// order belongs to position pos.
func wideKey(key [4]byte, pos int) uint64 {
	k := bits.RotateLeft32(binary.LittleEndian.Uint32(key[:]), -8*(pos&3))
	return uint64(k)<<32 | uint64(k)
}

// xor masks b with k, little endian. Each line of the large step compiles to one
// instruction that changes memory in place.
func xor(b []byte, k uint64) {
	le := binary.LittleEndian
	for len(b) >= 64 {
		s := (*[64]byte)(b)
		le.PutUint64(s[0:], le.Uint64(s[0:])^k)
		le.PutUint64(s[8:], le.Uint64(s[8:])^k)
		le.PutUint64(s[16:], le.Uint64(s[16:])^k)
		le.PutUint64(s[24:], le.Uint64(s[24:])^k)
		le.PutUint64(s[32:], le.Uint64(s[32:])^k)
		le.PutUint64(s[40:], le.Uint64(s[40:])^k)
		le.PutUint64(s[48:], le.Uint64(s[48:])^k)
		le.PutUint64(s[56:], le.Uint64(s[56:])^k)
		b = b[64:]
	}
	for len(b) >= 8 {
		le.PutUint64(b, le.Uint64(b)^k)
		b = b[8:]
	}
	if len(b) >= 4 {
		le.PutUint32(b, le.Uint32(b)^uint32(k))
		b = b[4:]
	}
	for i := range b {
		b[i] ^= byte(k >> (8 * i))
	}
}

// xorTo writes src, masked with k, to dst, which has the same length and does
// not overlap it: one pass where a copy and xor would make two.
func xorTo(dst, src []byte, k uint64) {
	le := binary.LittleEndian
	for len(src) >= 64 && len(dst) >= 64 {
		d, s := (*[64]byte)(dst), (*[64]byte)(src)
		le.PutUint64(d[0:], le.Uint64(s[0:])^k)
		le.PutUint64(d[8:], le.Uint64(s[8:])^k)
		le.PutUint64(d[16:], le.Uint64(s[16:])^k)
		le.PutUint64(d[24:], le.Uint64(s[24:])^k)
		le.PutUint64(d[32:], le.Uint64(s[32:])^k)
		le.PutUint64(d[40:], le.Uint64(s[40:])^k)
		le.PutUint64(d[48:], le.Uint64(s[48:])^k)
		le.PutUint64(d[56:], le.Uint64(s[56:])^k)
		dst, src = dst[64:], src[64:]
	}
	copy(dst, src)
	xor(dst, k)
}
