package frame

import "strconv"

// Opcode says what a frame carries (RFC 6455 §5.2). The values 3–7 and 11–15
// are reserved; a Protocol fails a connection that uses them.
type Opcode byte

// The opcodes of RFC 6455 §11.8.
const (
	OpContinuation Opcode = 0x0
	OpText         Opcode = 0x1
	OpBinary       Opcode = 0x2
	OpClose        Opcode = 0x8
	OpPing         Opcode = 0x9
	OpPong         Opcode = 0xA
)

// IsControl reports whether o is a control opcode, reserved ones included
// (RFC 6455 §5.5: the most significant bit is set).
func (o Opcode) IsControl() bool { return o&0x8 != 0 }

// String returns the opcode's name, or its number when it is reserved.
func (o Opcode) String() string {
	switch o {
	case OpContinuation:
		return "continuation"
	case OpText:
		return "text"
	case OpBinary:
		return "binary"
	case OpClose:
		return "close"
	case OpPing:
		return "ping"
	case OpPong:
		return "pong"
	default:
		return "opcode " + strconv.Itoa(int(o))
	}
}

// startsMessage reports whether o opens a data message.
func (o Opcode) startsMessage() bool { return o == OpText || o == OpBinary }

// known reports whether RFC 6455 defines o.
func (o Opcode) known() bool { return o <= OpBinary || o >= OpClose && o <= OpPong }
