// Package client is the client's side of WebSockets (RFC 6455) on a loop of streams: it
// asks for the upgrade, checks the answer, and reads and writes frames in the client's
// role, without believing anything the server says. A connection at rest costs a slot of
// its stream.Loop.
//
// A [Client] is the stream.Handler of a loop, or of those of its streams that were dialled
// for this, when another Handler hands their callbacks on. What is said over a connection
// is up to an [Owner], whose methods it calls:
//
//	Dial → connected: Request → the answer: Upgraded, or Refused → Message … → Closed
//
// Within a callback that follows from input, all that [Client.Send] and the protocol say
// to the same stream leaves in one send when it is over; else it leaves at once. What the
// kernel does not take waits in the stream.
//
// Nothing is retried. Closed comes exactly once for every connection that Dial has
// returned, and its [End] says what was wrong, if anything was.
//
// All of it belongs to the loop's goroutine. The package runs on Linux.
package client
