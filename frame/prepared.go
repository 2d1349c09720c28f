package frame

import (
	"bytes"
	"sync"
)

// Prepared is a message encoded once for many receivers. What it says does not
// change: any number of goroutines may share it.
type Prepared struct {
	frame []byte
	head  int // where the payload begins

	once     sync.Once
	deflated []byte // the frame compressed; frame, if that is no smaller
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
// negotiated permessage-deflate; below 512 bytes it is Bytes. The first call
// compresses, and others at that time wait for it. The caller must not change it.
func (m *Prepared) Deflated() []byte {
	m.once.Do(m.deflate)
	return m.deflated
}

// deflate makes m.deflated, exactly as large as it has to be: it may live long.
func (m *Prepared) deflate() {
	m.deflated = m.Bytes()
	if p := m.Payload(); len(p) >= minDeflate {
		out, ok := deflate(make([]byte, 0, len(m.frame)/2), Header{Opcode: m.Opcode()}, p)
		if ok {
			m.deflated = bytes.Clone(out)
		}
	}
}
