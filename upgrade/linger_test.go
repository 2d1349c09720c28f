package upgrade

import (
	"io"
	"testing"
)

// endless is a client that never stops sending.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	e.read += len(p)
	return len(p), nil
}

// TestLingerIsBounded: we hang up on a client that never stops sending.
func TestLingerIsBounded(t *testing.T) {
	t.Parallel()
	in := new(endless)
	c := &broken{in: in, left: 1 << 20}
	Linger(c)
	if in.read < lingerBytes || in.read > lingerBytes+64<<10 || !c.closed {
		t.Errorf("read %d bytes, closed %v", in.read, c.closed)
	}
	short := &broken{in: io.MultiReader(), left: 1 << 20}
	if Linger(short); !short.closed {
		t.Error("not closed at EOF")
	}
}
