//go:build linux

package server

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
	"github.com/usher-ws/usher/upgrade"
)

// ErrBacklog is returned by a send that found the connection's outbox full, or the caller's
// share of its loop's mailbox. Nothing of the message is sent.
var ErrBacklog = errors.New("server: backlog is full")

// CloseError is the end of a connection: the code and reason of its close frame,
// whichever side sent it. 1006 means that there was none.
type CloseError struct {
	Code   frame.StatusCode
	Reason string
	Err    error // what caused it, if anything did

	byPeer bool // the peer said so
}

// Error names the code and the reason.
func (e *CloseError) Error() string {
	text := fmt.Sprintf("closed with %v", e.Code)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	if e.Err != nil {
		text += " (" + e.Err.Error() + ")"
	}
	return text
}

// Unwrap returns the cause.
func (e *CloseError) Unwrap() error { return e.Err }

// Conn is a connection: a small value that can be kept, compared and used as a
// map key. A copy that outlives the connection is harmless; it answers
// net.ErrClosed.
//
// Send, SendPrepared, Close, Run, Extend, ID, Key and Server are safe for any goroutine. All else belongs to
// the connection's callbacks, those of Run included, and panics elsewhere; see Offload for
// what its handlers may call.
type Conn struct {
	loop      *loop
	slot, gen uint32
}

func (c Conn) token() uint64 { return stream.Token(c.slot, c.gen) }

// window says how messages to c are compressed, 0 if they are not. Safe for any
// goroutine.
func (c Conn) window() frame.Window { return windowOf(c.gen) }

// windowOf is Conn.window, of a generation. What is said to the client of a relay is never
// compressed: that would be of no window that the other server and the client know.
func windowOf(gen uint32) frame.Window { return frame.Window(gen & windowBits >> stream.MarkShift) }

func isMessage(op frame.Opcode) bool { return op == frame.OpText || op == frame.OpBinary }

// Identity returns the identity that the guards recognised, or nil. Only Renew and Extend change it. It
// is for reading, as others may have it, too, and it stays as it is. The server keeps bytes and
// makes it of them, in 3 µs if it has claims, unless it was the last that the loop was asked
// for. ExpiresAt is in UTC. Claims without the text of upgrade.NewIdentity are kept as the map
// they are as long as the connection lasts.
func (c Conn) Identity() *upgrade.Identity {
	if q := c.line(); q != nil {
		return q.identity.Load().get()
	}
	s, ok := c.mine("Conn.Identity")
	if !ok {
		return nil
	}
	return c.loop.known.get(c.loop.srv.users.get(s.Data().ident))
}

// Route returns the pattern of the connection's route.
func (c Conn) Route() string {
	if q := c.line(); q != nil {
		return q.route.pattern.String()
	}
	s, ok := c.mine("Conn.Route")
	if !ok {
		return ""
	}
	return c.loop.routeOf(s).pattern.String()
}

// PathValue returns what the wildcard of the route's pattern matched, or "".
func (c Conn) PathValue(name string) string {
	if q := c.line(); q != nil {
		return q.route.pattern.Value(q.values, name)
	}
	s, ok := c.mine("Conn.PathValue")
	if !ok {
		return ""
	}
	p := c.loop.places.At(s.Data().place)
	return p.route.pattern.Value(p.values, name)
}

// Upstream returns what Relay.Name says of the server that the connection is passed on to, or
// "".
func (c Conn) Upstream() string {
	s, ok := c.mine("Conn.Upstream")
	if !ok {
		return ""
	}
	relay, n := c.loop.routeOf(s).Relay, c.loop.upstreams.at(s.Slot())
	if relay == nil || relay.Name == nil || n == 0 {
		return ""
	}
	return relay.Name(n - 1)
}

// Subprotocol returns the negotiated subprotocol, or "".
func (c Conn) Subprotocol() string {
	if q := c.line(); q != nil {
		return q.proto
	}
	s, ok := c.mine("Conn.Subprotocol")
	if !ok {
		return ""
	}
	return c.loop.places.At(s.Data().place).proto
}

// RemoteAddr returns the client's address: what a proxy of Server.ProxyProtocol or
// TrustedProxies has said, without a port if that is not known, or what the kernel says. It
// is the zero AddrPort when the connection is gone.
func (c Conn) RemoteAddr() netip.AddrPort {
	if q := c.line(); q != nil {
		return q.peer
	}
	s, ok := c.mine("Conn.RemoteAddr")
	if !ok {
		return netip.AddrPort{}
	}
	return s.RemoteAddr()
}

// Buffered returns how many bytes wait for the peer to take them; of a relay's client also those
// that wait for the end of a message.
func (c Conn) Buffered() int {
	s, ok := c.mine("Conn.Buffered")
	if !ok {
		return 0
	}
	return c.loop.waiting(s)
}

// Data returns what SetData has kept, or before that Route.Keep; nil if nothing was.
func (c Conn) Data() any {
	s, ok := c.mine("Conn.Data")
	if !ok {
		return nil
	}
	return c.loop.data[s.Slot()]
}

// SetData keeps v with the connection until it ends, after its Close callbacks and
// Group.Left; nil forgets it. From Close on nothing new is kept. It costs what a map
// entry costs, and what v points to: what the identity and the path say need not be kept
// again. A package that is not alone has an Attachment of its own.
func (c Conn) SetData(v any) {
	s, ok := c.mine("Conn.SetData")
	if !ok {
		return
	}
	switch {
	case v == nil:
		c.loop.data.drop(s.Slot())
	case s.Data().facts.isUsers():
		c.loop.data[s.Slot()] = v
	}
}

// line returns the connection's jobs, or nil if it has none. A worker may ask, since
// it does one of them.
func (c Conn) line() *line {
	if c.loop == nil {
		return nil
	}
	return c.loop.jobs.lines.get(c.token())
}

// isClosed reports whether nothing can be sent any more. Safe for any goroutine.
func (c Conn) isClosed() bool { return c.loop.Generation(c.slot) != c.gen }

// mine returns the connection for a method, and false when it is gone, also if its last
// bytes are still leaving. It panics off the loop.
func (c Conn) mine(method string) (link, bool) {
	if c.loop == nil {
		return link{}, false
	}
	if c.loop.IsElsewhere() {
		panic("server: " + method + " was called off the connection's loop: see Conn.Run")
	}
	s := c.loop.At(c.slot)
	return s, (s.Generation()^c.gen)&^stream.Marks == 0 && s.Data().place != 0
}
