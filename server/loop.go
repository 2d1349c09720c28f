//go:build linux

package server

import (
	"sync/atomic"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
)

// loop is what the server has for each event loop: the sessions of its connections, and
// the memory they use in turn. All of it belongs to the loop's goroutine but mail,
// exchanges, jobs.lines, busy and published, and the decisions of its routes, which others read.
type loop struct {
	*stream.Loop[session, extra]
	srv  *Server
	wall func() time.Time // time.Now, for what a token says of time

	// What it does, by subject.
	door   door
	meter  meter
	jobs   jobs
	groups groups
	drain  drainage

	// What it goes by, and what it went by until then (follow.go).
	policy, before *policy

	// What connections have in common.
	places places
	known  lastIdentity // the Identity that was asked for last
	about  []byte       // scratch for users.add
	tables int          // bytes of tables that this loop has charged for

	// What some of them have.
	data      perConn[any]    // Conn.Data
	networks  networks        // by which limits per address count them
	tenures   tenures         // of those that are open, if they are tracked
	pairs     pairs           // of those that are relayed, and of what was dialled for them
	upstreams perSlot[uint32] // of clients of relays, by slot: one more than the Call.Upstream
	attached  []attached      // by Attachment.index

	// Memory every connection uses in turn.
	proto frame.Protocol
	relay relaying
	bye   []byte        // a close frame
	fan   []byte        // messages that leave together
	parts []stream.Part // those of them that do not change
	reply reply

	// What others want, and what was taken of that and is not done.
	exchanges exchanges
	mail      mailbox
	work
	relieved []party

	departing uint64 // the connection whose Close is called
	owes      int    // mailboxes of which the callback that runs has taken too much

	tidied time.Duration // when the limits by address and user were
	inside bool          // the user's code is being called (guard.go)

	busy    atomic.Uint64 // entered and the callbacks' route + 1, until the pass ends (watch.go)
	entered uint64

	// Routes, and what is counted (tally.go).
	routes        []loopRoute
	unrouted      decisions // about requests that no route matches
	unroutedTally RouteStats
	published     atomic.Pointer[loopCopy]

	unroutedRefused []RefusedFunc
}

// conn returns the Conn of a link.
func (l *loop) conn(s link) Conn {
	return Conn{loop: l, slot: s.Slot(), gen: s.Generation() &^ closeAsked}
}

func (l *loop) routeOf(s link) *loopRoute { return l.places.At(s.Data().place).route }
