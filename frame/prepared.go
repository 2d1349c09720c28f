package frame

import (
	"bytes"
	"sync"
)

// Prepared is a message encoded once for many receivers. It never changes: any number
// of goroutines may share it.
type Prepared struct {
	frame []byte
	head  int // where the payload begins

	mu       sync.Mutex
	deflated []deflated
}

// deflated is a message compressed for one window. If that makes it no smaller, frame
// has it uncompressed.
type deflated struct {
	window Window
	frame  []byte
}

// Prepare encodes a whole message as a server sends it. It copies payload. op
// should be OpText or OpBinary; like AppendFrame, it does not look at the payload.
func Prepare(op Opcode, payload []byte) *Prepared {
	f := AppendFrame(make([]byte, 0, maxHeader-4+len(payload)), op, payload)
	return &Prepared{frame: f, head: len(f) - len(payload)}
}

// Opcode returns the message's opcode.
func (m *Prepared) Opcode() Opcode { return Opcode(m.frame[0] & opcodeBits) }

// Bytes returns the frame, uncompressed, ready for the wire. The caller must not
// change it.
func (m *Prepared) Bytes() []byte { return m.frame[:len(m.frame):len(m.frame)] }

// Payload returns the message. The caller must not change it.
func (m *Prepared) Payload() []byte { return m.frame[m.head:len(m.frame):len(m.frame)] }

// Deflated returns what AppendDeflated makes of the message, for receivers that
// negotiated permessage-deflate with the window w; below 512 bytes, and for w 0, it is
// Bytes. The first call for a window compresses, and concurrent ones wait for it. The
// caller must not change the result.
func (m *Prepared) Deflated(w Window) []byte {
	if w < minWindow || len(m.Payload()) < minDeflate {
		return m.Bytes()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, d := range m.deflated {
		if d.window == w {
			return d.frame
		}
	}
	d := deflated{w, m.Bytes()}
	if out, ok := deflate(make([]byte, 0, len(m.frame)/2), Header{Opcode: m.Opcode()}, m.Payload(), w); ok {
		d.frame = bytes.Clone(out) // exactly as large as it has to be: it may live long
	}
	m.deflated = append(m.deflated, d)
	return d.frame
}
