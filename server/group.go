//go:build linux

package server

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/usher-ws/usher/frame"
)

// Group is a set of connections that are sent the same messages. All methods are
// safe for any goroutine and asynchronous: what one caller does is done in its
// order. A message is encoded once and goes to each loop once; the loop sends it
// to its members, merged with what else is on its way to them. One member's full
// or failed socket changes nothing for the others.
//
// A connection that ends leaves its groups by itself. The zero Group is ready; it
// must not be copied, and its members must be of one Server: that of the first, until it
// has been shut down.
type Group struct {
	// Middleware's Send hooks are called with every published message, on the
	// publisher's goroutine, the first listed outermost. To be set before use.
	Middleware []Middleware

	// Left, unless it is nil, is called for a member whose connection has ended, on that
	// connection's loop, after the route's Close has returned: once, and not for one that
	// Leave took out before. It is called at once for a connection that had ended before
	// its Join was carried out. What the connection was can still be asked, as in Close. A
	// panic is logged. To be set before use.
	Left func(c Conn)

	count   atomic.Int64
	windows [frame.MaxWindow + 1]atomic.Int32 // members by how they deflate; [0] is not kept
	once    sync.Once
	send    SendFunc

	mu     sync.Mutex
	shards []*shard // by loop; nil where there never was a member
	loops  []*loop  // those with a shard
}

// Join makes c a member, at once if c's own callback calls it and nothing that was asked for
// before waits. A second Join changes nothing. The error is net.ErrClosed if c has
// ended, and another one if c is of another Server than those that joined before.
func (g *Group) Join(c Conn) error {
	if c.loop == nil {
		return net.ErrClosed
	}
	if err := g.bind(c.loop); err != nil {
		return err
	}
	if c.loop.joinNow(c, g) {
		return nil
	}
	return c.loop.mail.member(entryJoin, c, g)
}

// bind makes a shard for the members on l.
func (g *Group) bind(l *loop) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.loops) > 0 && g.loops[0].srv != l.srv {
		if g.loops[0].srv.life.phase() != down || g.Len() > 0 { // a callback may hold up one of its loops
			return errors.New("server: the members of a Group must be of one Server: make another Group")
		}
		g.shards, g.loops = nil, nil // the other has ended, and with it all that were members
	}
	if g.shards == nil {
		g.shards = make([]*shard, len(l.srv.loops))
	}
	if g.shards[l.ID()] == nil {
		g.shards[l.ID()] = new(shard)
		g.loops = append(g.loops, l)
	}
	return nil
}

// Leave ends c's membership. It does nothing if c is no member.
func (g *Group) Leave(c Conn) error {
	if c.loop == nil {
		return net.ErrClosed
	}
	if g.of(c.loop) == nil {
		return nil // no connection of that loop ever joined
	}
	return c.loop.mail.member(entryLeave, c, g)
}

// Send publishes b to all connections that are members when their loop carries it out. It
// copies b. ErrBacklog means that the caller's or the group's share of a loop's mailbox was
// full: its members will not get the message, others may.
func (g *Group) Send(op frame.Opcode, b []byte) error {
	if !isMessage(op) {
		return fmt.Errorf("server: cannot send %v as a message", op)
	}
	g.once.Do(func() {
		g.send = compose(g.Middleware, SendFunc(g.publish), func(m *Middleware) func(SendFunc) SendFunc { return m.Send })
	})
	return g.send(Message{Opcode: op, Data: b})
}

// Close closes all connections that are members when their loop carries it out, after what
// was published before, each as Conn.Close does. Errors are net.ErrClosed and one for a code that is not for the
// wire.
func (g *Group) Close(code frame.StatusCode, reason string) error {
	if !code.Sendable() {
		return fmt.Errorf("server: %v is not for the wire", code)
	}
	var failed error
	for _, l := range g.members() {
		if err := l.mail.disband(g, &CloseError{Code: code, Reason: reason}); err != nil {
			failed = err
		}
	}
	return failed
}

// members returns the loops that have or had members.
func (g *Group) members() []*loop {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.loops // only ever appended to
}

// Len returns the number of members, those whose Join was carried out.
func (g *Group) Len() int { return int(g.count.Load()) }

func (g *Group) publish(m Message) error {
	loops := g.members()
	if len(loops) == 0 {
		return nil
	}
	p := frame.Prepare(m.Opcode, m.Data)
	for _, w := range g.windowsNow() {
		p.Deflated(w) // here, once, rather than on a loop
	}
	var failed error
	for _, l := range loops {
		if err := l.mail.publish(g, p); err != nil {
			failed = err
		}
	}
	return failed
}

// The encodings in which a message goes to the members of a group, however many of
// them agreed on however many windows: as it is; in the narrowest window of those that
// have less than the full one, which all of these can read; in the full one.
const (
	plain = iota
	narrow
	wide
	encodings
)

// encodingFor returns which of them it is for a window.
func encodingFor(w frame.Window) int {
	switch w {
	case 0:
		return plain
	case frame.MaxWindow:
		return wide
	default:
		return narrow
	}
}

// windowsNow returns the window of each encoding, 0 for one that no member needs. Called
// on a loop, it counts all members there; others may come and go meanwhile.
func (g *Group) windowsNow() (of [encodings]frame.Window) {
	for w := range frame.MaxWindow {
		if g.windows[w].Load() > 0 {
			of[narrow] = w
			break
		}
	}
	if g.windows[frame.MaxWindow].Load() > 0 {
		of[wide] = frame.MaxWindow
	}
	return of
}

// enrol counts a member that came, n being 1, or went, -1.
func (g *Group) enrol(s link, n int32) {
	g.count.Add(int64(n))
	if w := s.Data().frame.Window(); w != 0 {
		g.windows[w].Add(n)
	}
}

// of returns the shard of the loop, which is the only one to touch it; nil if no
// connection of it ever joined.
func (g *Group) of(l *loop) *shard {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.loops) == 0 || g.loops[0].srv != l.srv {
		return nil
	}
	return g.shards[l.ID()]
}

// takeIndex returns a free index of all, never 0.
func takeIndex[T any](all *[]T, free *[]uint32) uint32 {
	if n := len(*free); n > 0 {
		i := (*free)[n-1]
		*free = (*free)[:n-1]
		return i
	}
	var zero T
	if len(*all) == 0 {
		*all = append(*all, zero)
	}
	*all = append(*all, zero)
	return uint32(len(*all) - 1)
}
