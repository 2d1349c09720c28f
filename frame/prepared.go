package frame

// Prepared is a message encoded once for many receivers. It is immutable: any
// number of goroutines may share it.
type Prepared struct {
	frame []byte
	head  int // where the payload begins
}

// Prepare encodes a whole message as a server sends it. It copies payload. op
// should be OpText or OpBinary; like AppendFrame, it does not look at the payload.
func Prepare(op Opcode, payload []byte) *Prepared {
	f := AppendFrame(make([]byte, 0, maxHeader-4+len(payload)), op, payload)
	return &Prepared{frame: f, head: len(f) - len(payload)}
}

// Opcode returns the message's opcode.
func (m *Prepared) Opcode() Opcode { return Opcode(m.frame[0] & opcodeBits) }

// Bytes returns the frame, ready for the wire. The caller must not change it.
func (m *Prepared) Bytes() []byte { return m.frame[:len(m.frame):len(m.frame)] }

// Payload returns the message. The caller must not change it.
func (m *Prepared) Payload() []byte { return m.frame[m.head:len(m.frame):len(m.frame)] }
