//go:build linux

package server

import (
	"strings"
	"testing"
)

// Rig is a loop with a connection that is not answered, for benchmarks of middleware that
// stands on this package.
type Rig struct{ *bench }

// NewRig returns one whose route has this middleware.
func NewRig(b *testing.B, mw []Middleware) Rig {
	s := &Server{}
	s.Route("/sink", Route{Middleware: mw})
	rig := newBench(b, s)
	rig.connect()
	rig.ask("/sink")
	if got := rig.receive(); !strings.HasPrefix(got, "HTTP/1.1 101 ") {
		b.Fatalf("got %q", got)
	}
	return Rig{rig}
}

// Message returns a text as a frame of a client's.
func (r Rig) Message(text string) string { return r.message(text) }

// Read handles input.
func (r Rig) Read(input []byte) { r.l.run(r.s, nil, input) }

// OpenClose returns the hooks of the connection's route as calls.
func (r Rig) OpenClose() (open func(), end func(error)) {
	c, lr := r.conn(), r.l.routeOf(r.s)
	return func() { _ = lr.open(c) }, func(err error) { lr.close(c, err) }
}

// NewGroup returns a group with middleware.
func NewGroup(mw ...Middleware) *Group { return &Group{Middleware: mw} }
