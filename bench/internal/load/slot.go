//go:build linux

package load

import "github.com/usher-ws/usher/frame"

// state is where a connection is in its life.
type state uint8

const (
	unused   state = iota // no descriptor
	queued                // waits for its turn to dial
	dialing               // connect is under way
	greeting              // the request is sent, or a part of it
	open                  // upgraded
	leaving               // our close frame is sent; the peer's or its FIN is awaited
)

// What a connection has in the side tables, and whether it is read from.
const (
	hasPartial uint8 = 1 << iota // in Client.partials
	hasHead                      // in Client.heads
	hasBacklog                   // in Client.backlog
	paused                       // not read from
	deaf                         // the kernel told a send that the peer reset
)

// slot is one connection: 16 bytes and no pointer, so that a table of 19,000 is
// nothing to allocate and nothing to scan. The size is asserted by a test.
type slot struct {
	fd    int32
	gen   uint32 // rises at every close: an event of the old descriptor is recognised
	due   uint32 // when its patience ends, in ms of the clock; 0: never
	state state
	frame frame.State
	flags uint8
}

// data is what the connection's events carry.
func (s *slot) data(i int) uint64 { return uint64(s.gen)<<32 | uint64(uint32(i)) }
