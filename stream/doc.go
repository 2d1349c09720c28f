// Package stream keeps byte streams on event loops: a very large number of sockets, each
// idle for little more than the kernel's own cost. It knows sockets, time and memory, and
// nothing of what the bytes mean: that is for a [Handler], one for each loop.
//
// A stream is accepted ([Engine.Listen]) or dialled ([Loop.Dial], [Loop.DialUnix]), and
// belongs to one [Loop] for life. Everything about it happens on that loop's goroutine, one
// thing after the other, and must not block. An idle one is a slot in a table without
// pointers, and a 4-byte deadline: 16 bytes and what its owner keeps with it. It owns no
// goroutine, buffer or timer.
//
// What a loop does with a ready stream: one read into the loop's buffer, [Handler].Input,
// and one send of what was written meanwhile. What the kernel does not take waits in an
// outbox, and as long as anything waits there the stream is not read from: a peer that
// does not take its answers cannot ask for more; but for a relay, in which what waits is no
// answer ([S.Pass]). All outboxes together have a budget, and a loop over its share makes
// those give up that hold most.
//
// A stream ends in one of two ways. [S.Finish] says the last bytes and FIN, and lingers:
// it reads and discards what the peer still says, as closing a socket with unread input
// would send RST and could destroy what was said last. [S.Cut] closes at once. The states
// that a stream goes through are one table, in state.go.
//
// A stream that was accepted is a newcomer until its owner knows what it wants ([S.Claim]),
// and counts for where it comes from: of two that want the last place one that has spoken
// has it, and where there is too little room for those that have none, the address that has
// most of it makes room first.
//
// A stream that comes through a proxy begins with a header that says where it comes from
// (Config.IsProxy). It counts for the proxy until that is known, and the header is no Input.
//
// The package runs on Linux.
package stream
