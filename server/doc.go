// Package server is the engine: it accepts connections, runs the door of package
// upgrade on them, keeps a very large number of them idle for little more than
// the kernel's own cost, and calls a [Route]'s handlers with their messages.
//
// There are a few event loops, each one goroutine. A connection belongs to one
// loop for life, and all its callbacks run there, one after the other: they must
// not block. Only the loop touches the socket. Other goroutines speak to a
// connection through [Conn].Send, SendPrepared and Close, and to many through a
// [Group].
//
// An idle connection is a 56-byte slot in a table without pointers and a 4-byte
// deadline. It owns no goroutine, buffer, parser or timer. What straddles a read
// or a write comes from a pool that has a budget, and goes back.
//
// What a loop does with a ready connection:
//
//	recv once into the loop's buffer
//	for each event the protocol finds in it {
//		charge the limiter; warn, drop, hold or close if it is over
//		call the route's middleware and handler
//	}
//	send once what was said meanwhile; the kernel's rest waits in an outbox
//
// A connection whose outbox is not empty is not read from: a peer that does not
// take its answers cannot ask for more. The states a connection goes through are
// one table, in state.go.
//
// The engine runs on Linux.
package server
