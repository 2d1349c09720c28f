//go:build linux

package server

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/upgrade"
)

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

// Run calls f with c on the connection's loop, soon, as a callback like any other: there
// all methods of c may be called. It does not wait, and f must not block. f is called after
// what its caller has sent before, and in the order of the caller's Runs; what f says may
// come behind what is sent meanwhile. f is not called if the connection ends before; a panic
// ends it with 1011. Errors are ErrBacklog and net.ErrClosed, and then f is never called.
// Safe for any goroutine.
func (c Conn) Run(f func(c Conn)) error {
	switch {
	case f == nil:
		panic("server: Conn.Run was called with a nil function")
	case c.loop == nil:
		return net.ErrClosed
	}
	return c.loop.mail.run(c, f)
}

// ErrRenew is why an Identity cannot take the place of a connection's own.
var ErrRenew = errors.New("server: not a later token of the same user")

// Renew puts id in the place of the connection's Identity, so that the connection
// lives as long as id does: for clients that bring a new token before the old one expires
// and the connection is closed with 4401. id is what a Verifier made of the new
// token. It must speak for the same Subject, by which connections are counted, and
// not have expired; otherwise, and if the connection had no Identity, it is
// ErrRenew. What else the claims allow is for the caller to check.
func (c Conn) Renew(id *upgrade.Identity) error {
	s, ok := c.mine("Conn.Renew")
	if !ok {
		return net.ErrClosed
	}
	l := c.loop
	if id == nil || !id.ExpiresAt.IsZero() && !l.wall().Before(id.ExpiresAt) || !l.renew(s, id) {
		return ErrRenew
	}
	return nil
}

// renew puts another Identity of the same user in the place of the connection's, or returns
// false.
func (l *loop) renew(s link, id *upgrade.Identity) bool {
	ident := s.Data().ident
	if ident == 0 || !l.srv.users.renew(ident, id, &l.about) {
		return false
	}
	l.known = lastIdentity{l.srv.users.get(ident), id}
	if q := s.Extra().line; q != nil {
		q.identity.Store(&lateIdentity{identity: l.known.identity})
	}
	s.DueBy(l.expiry(s)) // a later one is found when the old one's comes
	return true
}

// ErrNoExpiry is why Extend cannot set when a connection ends: it has no Identity, so that no
// token ends it, or the time is none.
var ErrNoExpiry = errors.New("server: the connection has no Identity, or the time to extend it to is zero")

// Extend sets when the connection's Identity expires, later or sooner, so that the connection
// lives until then: for programs that know better than the token, which the client keeps. All else
// stays as it is, the claim exp as well; a later Renew counts again. A time that has passed ends
// the connection with 4401. The errors are ErrNoExpiry and net.ErrClosed; and ErrOnLoop in a callback
// of a connection of another loop, as Extend waits for that: use Run there. Safe for any
// goroutine.
func (c Conn) Extend(until time.Time) error {
	switch l := c.loop; {
	case until.IsZero():
		return ErrNoExpiry
	case l == nil:
		return net.ErrClosed
	case l.IsHere():
		return l.extend(c, until)
	case l.srv.here() != nil:
		return ErrOnLoop
	}
	l, done := c.loop, make(chan error, 1)
	if l.Post(func() { done <- l.extend(c, until) }) != nil {
		return net.ErrClosed
	}
	select {
	case err := <-done:
		return err
	case <-l.srv.done: // the loop may not have come to it
		return net.ErrClosed
	}
}

// extend is Extend on the connection's loop.
func (l *loop) extend(c Conn, until time.Time) error {
	s, ok := c.mine("Conn.Extend")
	if !ok || !s.Data().facts.isUsers() {
		return net.ErrClosed
	}
	id := l.known.get(l.srv.users.get(s.Data().ident))
	if id == nil {
		return ErrNoExpiry
	}
	next := *id
	next.ExpiresAt = until.Round(0).UTC() // as it will be read back
	l.renew(s, &next)
	return nil
}
