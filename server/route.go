//go:build linux

package server

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/pattern"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/upgrade"
)

// Route is what a server does with the WebSockets of one path. The zero Route
// accepts everybody of the same origin and ignores what they say.
type Route struct {
	// The door. Guards are judged in their order; Subprotocols are in the
	// server's order of preference. AcceptClose shows refusals to pages, as in
	// upgrade.Upgrader. Authorize comes last, may block, and is called on a
	// goroutine of its own with a Request it may keep, and whose Identity it may
	// set before it returns; its error is answered as a guard's. ctx ends when
	// the client hangs up or the handshake-timeout has passed.
	Guards       []upgrade.Guard
	Subprotocols []string
	AcceptClose  bool
	Authorize    func(ctx context.Context, r *upgrade.Request) error

	// Middleware of this route; that of Server.Use is outside it.
	Middleware []Middleware

	// What one connection may send.
	Limits  Limits
	OnLimit func(c Conn, v Violation) // for Warn, at most once a second for a connection

	// Backpressure. Overflow is what becomes of a message that finds
	// Server.MaxBacklog full. Writable is called on the loop when something had to wait
	// for the peer, or a Send was refused, and all has left since: with DropNewest, a
	// callback can send until it gets ErrBacklog, and Writable can go on from there.
	Overflow Overflow
	Writable func(c Conn)

	// Keep returns what the connection needs of the request, its query or a header. It
	// is called on the loop when all else has let the connection in. Conn.Data returns that from
	// Open on, until SetData replaces it. r and every []byte of it are valid until Keep
	// returns; strings are copies. What is nil costs the connection nothing.
	Keep func(r *upgrade.Request) any

	// Relay has the connections of the route passed on to another server, frame by frame,
	// instead of being read here: it is asked last of all whether they may come in, and for
	// the answer. Message is not called then, nor are OnLimit and Writable. What is sent to them goes
	// uncompressed between two messages of that server's: what comes in the middle of one waits for
	// its end, within MaxBacklog. A message is charged when it begins, and once begun it is finished:
	// bytes that are over a limit in its middle are waited for.
	Relay *Relay

	// The life of a connection, all on its loop.
	Open    OpenFunc
	Message MessageFunc
	Close   CloseFunc
}

// Overflow is what becomes of a message for a peer that does not take what was sent
// to it before.
type Overflow uint8

const (
	CloseFull  Overflow = iota // the connection is closed with 1013
	DropNewest                 // the message is dropped and counted, RouteStats.Dropped
)

// Limits bounds what one connection may send. Bytes are charged for every frame,
// its header included and at least 64 for each; Messages for every complete data
// message. Over and CloseAfter also hold for what a connection shares with others,
// Server.MessagesPerUser and MessagesPerIP.
type Limits struct {
	Messages limiter.Rate
	Bytes    limiter.Rate
	Over     Action

	// CloseAfter closes a connection that is over a limit this many times within a
	// minute, whatever Over did the times before: Delay first, then Disconnect.
	// Zero is never.
	CloseAfter int

	// Cost is what a message takes of Messages, and of what is shared; nil is one
	// for each. Zero or less is free. It is called on the loop before anything else
	// looks at the message; but a compressed one is inflated for it, where without a Cost
	// only those are that will be handled. More than a whole burst is always over the limit; but
	// Delay reads a message once there is room for one, and then waits for as long
	// as it cost.
	Cost func(m Message) int
}

// any reports whether messages or bytes are counted at all.
func (l *Limits) any() bool { return !l.Messages.Unlimited() || !l.Bytes.Unlimited() || l.Cost != nil }

// Action is what happens to a connection that is over one of its limits.
type Action uint8

// The actions, from the mildest for the client to the harshest.
const (
	Warn       Action = iota // drop the message, and tell Route.OnLimit now and then
	Drop                     // drop the message
	Delay                    // read no further until it is allowed again; nothing is lost
	Disconnect               // close with 1008
)

var actionNames = [...]string{Warn: "warn", Drop: "drop", Delay: "delay", Disconnect: "close"}

// String returns the action's name, as UnmarshalText reads it.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return fmt.Sprintf("Action(%d)", uint8(a))
}

// UnmarshalText reads warn, drop, delay or close.
func (a *Action) UnmarshalText(text []byte) error {
	for i, name := range actionNames {
		if string(text) == name {
			*a = Action(i)
			return nil
		}
	}
	return fmt.Errorf("%q: want warn, drop, delay or close", text)
}

// Violation is a limit that was exceeded.
type Violation struct {
	Limit      string        // "messages" or "bytes" of the connection, "user" or "ip" of all connections of one
	Rate       limiter.Rate  // what it is
	RetryAfter time.Duration // until it has room for the same again
}

// route is a Route with its pattern. It is shared by the loops and not changed after
// Start.
type route struct {
	Route
	pattern pattern.Pattern
}

// isPlain reports whether a request to a route, which may be nil, is for its Relay's Handler.
func (r *loopRoute) isPlain(req *upgrade.Request) bool {
	return r != nil && r.Relay != nil && r.Relay.Handler != nil && !req.IsUpgrade() && !req.IsOnlyProbe()
}

// plain returns the Handler of a route's Relay for a request, which it gives the path values.
func (r *route) plain(req *http.Request) http.Handler {
	values, ok := r.pattern.Match(req.URL.EscapedPath(), nil)
	if !ok {
		return errNotFound // net/http has read another path than we have
	}
	for k, name := range r.pattern.Names() {
		req.SetPathValue(name, values[k])
	}
	return r.Relay.Handler
}

// loopRoute is a route as one loop uses it: the chains composed, and the limits and the
// framing as the policy wants them.
type loopRoute struct {
	*route
	index  int
	Limits Limits // not those that the route began with
	frame  frame.Config

	limited bool // messages or bytes are counted here
	decided decisions
	tally   RouteStats

	upgrade UpgradeFunc
	open    OpenFunc
	message MessageFunc
	close   CloseFunc
	refused []RefusedFunc
}
