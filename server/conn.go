//go:build linux

package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
	"github.com/usher-ws/usher/upgrade"
)

// ErrBacklog is what a send answers that found the connection's outbox, or its
// loop's mailbox, full. Nothing of the message is sent.
var ErrBacklog = errors.New("server: backlog is full")

// CloseError is the end of a connection: the code and reason of its close frame,
// whichever side sent it. 1006 means that there was none.
type CloseError struct {
	Code   frame.StatusCode
	Reason string
	Err    error // what caused it, if anything did

	byPeer bool // it was the peer who said so
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
// Send, SendPrepared and Close are safe for any goroutine. All else belongs to
// the connection's callbacks; see Offload for those that do not run on the loop.
type Conn struct {
	loop      *loop
	slot, gen uint32
}

func (c Conn) token() uint64 { return stream.Token(c.slot, c.gen) }

// window says how messages to c are compressed, 0 if they are not. Safe for any
// goroutine.
func (c Conn) window() frame.Window { return frame.Window(c.gen & windowBits >> stream.MarkShift) }

// Send sends b as one message. It copies b and does not wait: nil means that the
// message was accepted, not that it has arrived. What one callback sends to its
// own connection leaves in one piece when the callbacks of that event are done.
// Errors are ErrBacklog, net.ErrClosed, and one for an opcode that is not text or
// binary.
func (c Conn) Send(op frame.Opcode, b []byte) error {
	if !isMessage(op) {
		return fmt.Errorf("server: cannot send %v as a message", op)
	}
	if c.loop == nil {
		return net.ErrClosed
	}
	if l := c.loop; l.replies(c) {
		return l.say(c, op, b)
	}
	return c.loop.mail.send(c, op, b)
}

func isMessage(op frame.Opcode) bool { return op == frame.OpText || op == frame.OpBinary }

var errUnprepared = errors.New("server: cannot send what was not made by Prepare")

// SendPrepared sends m, which was encoded once and may go to many connections. It
// is Send in all else.
func (c Conn) SendPrepared(m *frame.Prepared) error {
	if m == nil || len(m.Bytes()) == 0 {
		return errUnprepared
	}
	if op := m.Opcode(); !isMessage(op) {
		return fmt.Errorf("server: cannot send %v as a message", op)
	}
	if c.loop == nil {
		return net.ErrClosed
	}
	if l := c.loop; l.replies(c) {
		return l.sayPrepared(c, m)
	}
	return c.loop.mail.sendPrepared(c, m)
}

// Close closes the connection, after what was sent before it. Only the first call
// counts; a later one, or one that comes after the connection's end, is
// net.ErrClosed.
func (c Conn) Close(code frame.StatusCode, reason string) error {
	if !code.Sendable() {
		return fmt.Errorf("server: %v is not for the wire", code)
	}
	if c.loop == nil {
		return net.ErrClosed
	}
	return c.loop.mail.close(c, code, reason)
}

// ErrRenew is why an Identity cannot take the place of a connection's own.
var ErrRenew = errors.New("server: not a later token of the same user")

// Renew puts id in the place of the connection's Identity, so that the connection
// lives as long as id does: for who brings a new token before the old one expires
// and the connection is closed with 4401. id is what a Verifier made of the new
// token. It must speak for the same Subject, by which connections are counted, and
// not have expired; otherwise, and if the connection had no Identity, it is
// ErrRenew. What else the claims allow is for the caller to see.
func (c Conn) Renew(id *upgrade.Identity) error {
	s, ok := c.mine()
	if !ok {
		return net.ErrClosed
	}
	l := c.loop
	old := l.identities.get(s.Data().ident)
	if old == nil || id == nil || id.Subject != old.Subject || !id.ExpiresAt.IsZero() && !l.wall().Before(id.ExpiresAt) {
		return ErrRenew
	}
	ident := l.identities.find(id)
	l.identities.drop(s.Data().ident)
	s.Data().ident = ident
	if q := s.Extra().line; q != nil {
		q.identity.Store(id)
	}
	s.DueBy(l.expiry(s)) // a later one is found when the old one's comes
	return nil
}

// Identity returns whom the guards recognised, or nil. Only Renew changes it.
func (c Conn) Identity() *upgrade.Identity {
	if q := c.line(); q != nil {
		return q.identity.Load()
	}
	s, ok := c.mine()
	if !ok {
		return nil
	}
	return c.loop.identities.get(s.Data().ident)
}

// PathValue returns what the wildcard of the route's pattern matched, or "".
func (c Conn) PathValue(name string) string {
	if q := c.line(); q != nil {
		return q.route.value(q.values, name)
	}
	s, ok := c.mine()
	if !ok {
		return ""
	}
	p := &c.loop.places.all[s.Data().place]
	return p.route.value(p.values, name)
}

// Subprotocol returns the negotiated subprotocol, or "".
func (c Conn) Subprotocol() string {
	if q := c.line(); q != nil {
		return q.proto
	}
	s, ok := c.mine()
	if !ok {
		return ""
	}
	return s.Extra().proto
}

// RemoteAddr asks the kernel for the peer's address. It is the zero AddrPort when
// the connection is gone.
func (c Conn) RemoteAddr() netip.AddrPort {
	if q := c.line(); q != nil {
		return q.peer
	}
	s, ok := c.mine()
	if !ok {
		return netip.AddrPort{}
	}
	return s.RemoteAddr()
}

// Buffered returns how many bytes wait for the peer to take them.
func (c Conn) Buffered() int {
	s, ok := c.mine()
	if !ok {
		return 0
	}
	return s.Waiting()
}

// Data returns what SetData, or before it Route.Keep, has kept, or nil.
func (c Conn) Data() any {
	s, ok := c.mine()
	if !ok {
		return nil
	}
	return s.Extra().data
}

// SetData keeps v with the connection until it ends; nil forgets it. It costs an
// idle connection a few hundred bytes: what the identity and the path say need
// not be kept again.
func (c Conn) SetData(v any) {
	s, ok := c.mine()
	if !ok {
		return
	}
	if v == nil && !s.HasExtra() {
		return
	}
	s.NeedExtra().data = v
}

// line returns the connection's jobs, or nil if it has none. A worker may ask, since
// it does one of them.
func (c Conn) line() *line {
	if c.loop == nil {
		return nil
	}
	return c.loop.lines.get(c.token())
}

// isClosed reports whether nothing can be sent any more. Safe for any goroutine.
func (c Conn) isClosed() bool { return c.loop.Generation(c.slot) != c.gen }

// mine returns the connection, and false when it is gone. Only on the loop.
func (c Conn) mine() (link, bool) {
	if c.loop == nil {
		return link{}, false
	}
	s := c.loop.At(c.slot)
	return s, (s.Generation()^c.gen)&^stream.Marks == 0
}
