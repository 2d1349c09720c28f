//go:build linux

package main_test

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Opcodes, RFC 6455 §5.2.
const (
	opText   = 1
	opBinary = 2
	opClose  = 8
	opPing   = 9
	opPong   = 10
)

// masked returns a final frame as a client sends it. The key is fixed: it hides
// nothing from a server.
func masked(op byte, payload string) string {
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d} // RFC 6455 §5.7
	b := frameHead(op, len(payload), 0x80)
	b = append(b, key[:]...)
	for i, c := range []byte(payload) {
		b = append(b, c^key[i%4])
	}
	return string(b)
}

// frameHead returns the first bytes of a final frame, mask bit or not.
func frameHead(op byte, n int, mask byte) []byte {
	switch {
	case n < 126:
		return []byte{0x80 | op, mask | byte(n)}
	case n < 1<<16:
		return binary.BigEndian.AppendUint16([]byte{0x80 | op, mask | 126}, uint16(n))
	}
	return binary.BigEndian.AppendUint64([]byte{0x80 | op, mask | 127}, uint64(n))
}

// frame is a frame from the server.
type frame struct {
	op      byte
	payload string
}

// String returns the frame for failures: a close with its code.
func (f frame) String() string {
	if f.op == opClose && len(f.payload) >= 2 {
		return fmt.Sprintf("close %d %q", f.closeCode(), f.payload[2:])
	}
	return fmt.Sprintf("op %d %q", f.op, tail(f.payload, 200))
}

func (f frame) closeCode() int {
	if f.op != opClose || len(f.payload) < 2 {
		return 0
	}
	return int(binary.BigEndian.Uint16([]byte(f.payload)))
}

// next reads one frame; it must be final and unmasked.
func (w *wire) next() (f frame, err error) {
	var h [8]byte
	if _, err := io.ReadFull(w.in, h[:2]); err != nil {
		return f, err
	}
	if h[0]&0xf0 != 0x80 || h[1]&0x80 != 0 {
		return f, fmt.Errorf("frame head % x, want a final, unmasked frame", h[:2])
	}
	f.op = h[0] & 0x0f
	n := uint64(h[1])
	switch n {
	case 126:
		_, err = io.ReadFull(w.in, h[:2])
		n = uint64(binary.BigEndian.Uint16(h[:2]))
	case 127:
		_, err = io.ReadFull(w.in, h[:8])
		n = binary.BigEndian.Uint64(h[:8])
	}
	if err != nil || n > 1<<24 {
		return f, fmt.Errorf("frame of %d bytes: %v", n, err)
	}
	payload := make([]byte, n)
	_, err = io.ReadFull(w.in, payload)
	f.payload = string(payload)
	return f, err
}

// want reads one frame and compares it.
func (w *wire) want(op byte, payload string) {
	w.t.Helper()
	if f, err := w.next(); err != nil || f != (frame{op, payload}) {
		w.t.Fatalf("got %v (error %v), want %v", f, err, frame{op, payload})
	}
}

// wantClose reads a close frame with the code, answers it, and reads the end.
func (w *wire) wantClose(code int) (reason string) {
	w.t.Helper()
	f, err := w.next()
	return w.endsBy(f, err, code)
}

// wantCloseBehind is wantClose behind whatever texts come before.
func (w *wire) wantCloseBehind(code int) (reason string) {
	w.t.Helper()
	f, err := w.next()
	for err == nil && f.op == opText {
		f, err = w.next()
	}
	return w.endsBy(f, err, code)
}

// endsBy checks that f, which was read with err, is the close frame that is wanted, and the last.
func (w *wire) endsBy(f frame, err error, code int) (reason string) {
	w.t.Helper()
	if err != nil || f.closeCode() != code {
		w.t.Fatalf("got %v (error %v), want close %d", f, err, code)
	}
	w.conn.Write([]byte(masked(opClose, f.payload[:2]))) // the server may be gone already
	if rest, err := io.ReadAll(w.in); err != nil || len(rest) > 0 {
		w.t.Fatalf("behind the close frame: got % x (error %v), want the end", rest, err)
	}
	return f.payload[2:]
}
