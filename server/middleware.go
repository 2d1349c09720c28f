//go:build linux

package server

import (
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/upgrade"
)

// Message is a complete data message. Data is valid until the handler it was
// given to returns, and may be changed by it.
type Message struct {
	Opcode frame.Opcode // OpText or OpBinary
	Data   []byte
}

// MessageFunc is called with every message of a connection, in order, on the
// connection's loop: it must not block, unless it is behind Offload. A *CloseError it
// returns closes the connection with that code; any other error is logged and closes
// with 1011.
type MessageFunc func(c Conn, m Message) error

// The other things a Middleware wraps.
type (
	// UpgradeFunc judges a request that a route matched: nil lets it in. The
	// Request is valid until it returns. The innermost one gives the
	// verdicts of docs/CODES.md in their order, guards included.
	UpgradeFunc func(r *upgrade.Request) error
	// OpenFunc begins a connection. An error ends it as a MessageFunc's does.
	OpenFunc func(c Conn) error
	// SendFunc publishes a message to a Group.
	SendFunc func(m Message) error
	// RefusedFunc is told of a request that was refused. r is valid until it returns, and
	// may lack all but RemoteAddr. Nothing it does changes the answer.
	RefusedFunc func(r *upgrade.Request, e *upgrade.Rejection)
	// CloseFunc ends a connection: exactly once for each that was opened. Nothing
	// can be sent to it any more, but what it was can still be asked.
	CloseFunc func(c Conn, err error)
)

// Middleware wraps what happens to a connection. Every hook is optional; the one
// that is set is given the next and returns what is to be called instead of it.
// Of several, the first listed is the outermost: it sees a request first and its
// result last. Chains are composed once, when the server starts, and cost nothing
// where no hook is set.
//
// All hooks run on the loop, but Message behind Offload, and Send, which belongs to a
// Group and runs once for each published message, on the publisher's goroutine.
type Middleware struct {
	Name string // for people who ask what a route has (Server.AppendRoutes); not needed

	Upgrade func(next UpgradeFunc) UpgradeFunc
	Open    func(next OpenFunc) OpenFunc
	Message func(next MessageFunc) MessageFunc
	Send    func(next SendFunc) SendFunc
	Close   func(next CloseFunc) CloseFunc

	// Refused is told of every refusal, whatever decided it and when: quotas and Authorize
	// come after the Upgrade hooks. As part of Use, it is also told of refusals before a
	// route is known.
	Refused RefusedFunc

	// OnLoop says that the middleware's Message hook belongs to the loop: Start fails if
	// it is listed behind an Offload.
	OnLoop bool

	offloads bool // it is Offload's
}

// compose wraps inner in the hooks that pick finds, the first outermost.
func compose[F any](mw []Middleware, inner F, pick func(*Middleware) func(F) F) F {
	for i := len(mw) - 1; i >= 0; i-- {
		if wrap := pick(&mw[i]); wrap != nil {
			inner = wrap(inner)
		}
	}
	return inner
}

func orElse[F OpenFunc | MessageFunc | CloseFunc](f, standard F) F {
	if f == nil {
		return standard
	}
	return f
}

// refusedHooks returns what mw wants to be told of refusals, the outermost first.
func refusedHooks(mw []Middleware) (all []RefusedFunc) {
	for _, m := range mw {
		if m.Refused != nil {
			all = append(all, m.Refused)
		}
	}
	return all
}
