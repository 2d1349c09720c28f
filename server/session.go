//go:build linux

package server

import (
	"crypto/tls"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/stream"
)

// link is a connection as its loop sees it: a stream, with a session in its table and the
// extra that few of them need.
type link = stream.S[session, extra]

// session is what an idle connection costs beside its stream: 40 bytes without a pointer.
// A zero one is waiting for its request.
type session struct {
	frame  frame.State
	facts  facts
	pinged uint8 // how long after last a ping left that was not answered, and one (idle.go); 0 for none

	// Time.
	last stream.Clock // of its request, by Ran, until that has come; then since its last sign of life, by Tick
	told uint32       // when it was last told that it is too loud, in milliseconds, never 0 then

	// What the loop keeps elsewhere, 0 for nothing.
	place uint32 // route and path values (intern.go)
	ident uint32 // its number among the users' connections (users.go); of one that was dialled, its Call.Upstream
	group uint32 // its one group, or its memberships (groups.go)

	// The limiter.
	messages limiter.Bucket
	bytes    limiter.Bucket
}

// facts are a session's state and small facts about it, in one byte.
type facts uint8

const (
	stateBits    facts = 1<<3 - 1
	owesWritable facts = 1 << (iota + 2) // something had to wait or was refused: Route.Writable is to be called
	prepaid                              // a message has been taken of the shared buckets that has not come yet
	spoiled                              // a part of the message under way was over the byte limit
	odd                                  // its buckets are by the rates of a policy that is odd: see repace
)

// Of a connection that was dialled they are about its client.
const (
	heardClose = owesWritable // the client's close has passed
	heardHalf  = prepaid      // half a frame has passed, of which the rest does not come
	needsAll   = spoiled      // compressed messages refer to those before them, so that none may be left out
	owesText   = odd          // it is to be told what is unsaid when the message is over that passes to it
	owesPing   = odd << 1     // it is to be pinged when the frame is over that passes to it
)

func (f facts) state() state        { return state(f & stateBits) }
func (f facts) has(what facts) bool { return f&what != 0 }
func (f *facts) become(s state)     { *f = *f&^stateBits | facts(s) }

// isUsers reports whether the connection is the user's: Open was called, and Close is yet
// to be.
func (f facts) isUsers() bool { s := f.state(); return s == open || s == winding }

// Why a connection is held, beside the reasons of its stream.
const (
	byDelay    = stream.Custom << iota // the limiter's delay
	byJobs                             // it has many jobs, or ends when they are done
	byQuestion                         // enough has come early
	byHandler                          // enough waits for net/http
	byMail                             // what its callbacks want of others is to be done first
)

// byPeer holds one side of a relay while bytes wait on the other. No relayed connection has
// jobs.
const byPeer = byJobs

// A generation's marks.
//
//	31         30     27
//	closeAsked  window
const (
	closeAsked = 1 << 31                // Conn.Close or Group.Close was called, or it has departed
	windowBits = 15 << stream.MarkShift // the frame.Window of what is sent; a Conn's gen has it, too
)

// extra is what only some connections need, most of them for a moment.
type extra struct {
	// Input that straddles reads.
	head    []byte         // the request head gathered so far
	partial *frame.Partial // half a frame or message, or a held tail
	begun   stream.Clock   // of the message that partial belongs to, by Ran

	// For the workers of an Offload.
	line *line

	// The limiter.
	strikes int           // how often it was over a limit, if that is counted
	struck  uint32        // the tick in which it first was
	resume  time.Duration // when a delay ends

	// The rest.
	tls      *tls.ConnectionState // until it is open
	question *question            // that is answered elsewhere
	exchange *exchange            // the request is net/http's, or waits for that
	owed     int                  // how many mailboxes hold it back
	call     *dialled             // it was dialled, and has not answered
	parting  *parting             // it is relayed, and ends behind a frame
	unsaid   []byte               // it was dialled: whole messages of ours for its client, if that owesText
}

// weigh says how many bytes of the loop's buffers x holds, and whether x is zero.
func weigh(x *extra) (bytes int, isZero bool) {
	if x.head == nil && x.partial == nil && x.begun == 0 && x.line == nil && x.strikes == 0 && x.struck == 0 && x.resume == 0 &&
		x.tls == nil && x.question == nil && x.exchange == nil && x.owed == 0 && x.call == nil && x.parting == nil && x.unsaid == nil {
		return 0, true
	}
	bytes = cap(x.head) + x.partial.Size() + cap(x.unsaid)
	if x.question != nil {
		bytes += cap(x.question.early) + x.question.charged
	}
	if x.line != nil {
		bytes += x.line.bytes
	}
	if x.exchange != nil {
		bytes += cap(x.exchange.in) + x.exchange.charged
	}
	return bytes, false
}
