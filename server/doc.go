// Package server is the engine: it accepts connections, runs the door of package
// upgrade on them, keeps a very large number of them idle for little more than
// the kernel's own cost, and calls a [Route]'s handlers with their messages.
//
// There are a few event loops, each one goroutine. A connection belongs to one
// loop for life, and all its callbacks run there, one after the other: they must
// not block. Only the loop touches the socket. Other goroutines speak to a
// connection through [Conn].Send, SendPrepared, Close and Run, and to many through a
// [Group].
//
// A connection is a stream of bytes, which package stream keeps, with a session of
// messages on it. An idle one is a 56-byte slot in a table without pointers, 40 of them
// the session's, and a 4-byte deadline. It owns no goroutine, buffer, parser or timer.
// What straddles a read or a write comes from a pool that has a budget, and goes back.
//
// What a loop does with a connection that has something to read:
//
//	package stream reads once into the loop's buffer
//	for each event the protocol finds in it {
//		charge the limiter; warn, drop, delay or close if it is over
//		call the route's middleware and handler
//	}
//	send once what was said meanwhile; the kernel's rest waits in an outbox
//
// A connection whose outbox is not empty is not read from: a peer that does not
// take its answers cannot ask for more. The states of a session are one table, in
// state.go, and those of a stream another, in package stream. docs/ARCHITECTURE.md
// follows a connection through the files.
//
// # One word, one meaning
//
//	connection    what a client has with us, from accept to the end of its socket
//	stream        its bytes: a slot in a table of package stream
//	session       what is ours in that slot: route, identity, protocol, buckets
//	link          both together, as a loop handles them; Conn is what the user has of it
//	loop          one goroutine, and all that belongs to the connections on it
//	event         something that happened to a connection, with all callbacks it causes
//	turn          what one connection may do before others have theirs: 256 frames; of an
//	              exchange, that it may be with net/http
//	tick          the unit of deadlines, 67 ms
//	state, phase  where a session is in its life; where a Server is
//	head          a request, up to its empty line
//	door          what judges heads: it lets in, or refuses
//	exchange      a request that no route matches, which net/http answers over the loop
//	place         a route with its path values and subprotocol, shared by many
//	quota         how many there may be at once of an address or a user
//	limit         what Limits and the Server's rates allow of messages and bytes
//	refuse        to answer a request with an error instead of 101
//	close         to end a connection with a close frame, behind all that was said
//	cut           to close its socket at once, whatever waits
//	Disconnect    what limits do at the worst: a close with 1008
//	shed          to close or cut the connection that holds most when memory is short
//	linger        to read and discard after FIN, so that what was said last arrives
//	backlog       what waits for one peer, bounded by MaxBacklog; it lies in the outbox
//	held          not read from: for a backlog, a delay, its jobs, its mail or its turn
//	delay         the time for which a limit holds a connection
//	Writable      the callback that the backlog has left
//	job, line     a message that Offload gave to a worker; those of one connection
//	mailbox       where other goroutines leave what they want of a loop
//	party         who that is charged to: a connection or a group; what it has there is its share
//	flow          what was left in a mailbox and has to keep an order; flows take turns
//	tables        of users, places, limits and members: what is kept beside data under way
//	Group         connections that are sent the same messages; Left tells of those that ended
//	Attachment    a value that some connections have beside Conn.Data
//	relay         to pass on what a connection says to another server, and back; upstream is
//	              that server, up what was dialled to it, and both together are a pair
//	depart        to end what is the user's: groups, Close, quotas; once
//	drain         to close all connections evenly, by Shutdown
//
// The engine runs on Linux.
package server
