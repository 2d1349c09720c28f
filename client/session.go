//go:build linux

package client

import (
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
)

// Stream is a connection of a Client. T is what the owner keeps with it, in the slot: it
// should be small, without a pointer.
type Stream[T any] = stream.S[Session[T], Extra]

// Loop is a loop of them.
type Loop[T any] = stream.Loop[Session[T], Extra]

// State is where a connection is in its life.
type State uint8

// The states.
const (
	Dialing  State = iota // connecting is under way
	Securing              // connected, and the handshake of TLS is under way
	Asked                 // the request is sent, or a part of it
	Open                  // upgraded
	Leaving               // our close frame is sent; the peer's or its FIN is awaited
)

// Session is what is kept with every connection.
type Session[T any] struct {
	Tag   T // the owner's
	state State
	frame frame.State
}

// State returns where the connection is in its life.
func (s *Session[T]) State() State { return s.state }

// Extra is what is kept with few connections, of what straddles two reads.
type Extra struct {
	head    []byte // of the answer, from the loop's Buffers
	partial *frame.Partial
}

// Weigh is for stream.Config.
func Weigh(x *Extra) (bytes int, isZero bool) {
	return cap(x.head) + x.partial.Size(), x.head == nil && x.partial == nil
}
