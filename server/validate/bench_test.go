//go:build linux

package validate

import (
	"testing"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

// BenchmarkJSON is what judging a small message costs.
func BenchmarkJSON(b *testing.B) {
	mw, err := JSON([]byte(`{"type": "object", "required": ["op", "args"], "properties": {
		"op": {"enum": ["add", "mul"]}, "args": {"type": "array", "minItems": 2, "items": {"type": "integer"}}}}`), 0)
	if err != nil {
		b.Fatal(err)
	}
	handle := mw.Message(func(server.Conn, server.Message) error { return nil })
	m := server.Message{Opcode: frame.OpText, Data: []byte(`{"op":"add","args":[1,2]}`)}
	b.ReportAllocs()
	for b.Loop() {
		if err := handle(server.Conn{}, m); err != nil {
			b.Fatal(err)
		}
	}
}
