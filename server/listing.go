//go:build linux

package server

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/usher-ws/usher/frame"
)

// ID is a name for the connection that no other connection has, now or later, of this
// Server or another. Server.Conn finds it again. Safe for any goroutine.
func (c Conn) ID() string {
	if c.loop == nil {
		return ""
	}
	return fmt.Sprintf("%x-%x-%x-%x", c.loop.srv.nonce, c.loop.ID(), c.slot, c.gen)
}

// Conn returns the connection of an ID that Conn.ID has returned, and false if there is none
// any more. Safe for any goroutine.
func (s *Server) Conn(id string) (Conn, bool) {
	var part [4]uint64
	texts := strings.Split(id, "-")
	if !s.life.hasRun() || len(texts) != len(part) {
		return Conn{}, false
	}
	for k, text := range texts {
		n, err := strconv.ParseUint(text, 16, 64)
		if err != nil {
			return Conn{}, false
		}
		part[k] = n
	}
	if part[1] >= uint64(len(s.loops)) {
		return Conn{}, false
	}
	c := Conn{loop: s.loops[part[1]], slot: uint32(part[2]), gen: uint32(part[3])}
	if c.ID() != id || c.gen&closeAsked != 0 || !c.loop.HasBeen(c.slot) || c.isClosed() {
		return Conn{}, false
	}
	return c, true
}

// connsPerTurn is how many connections Each visits before the others have their turn, and
// slotsPerTurn how many it looks for in: when most of a crowd has left, few have one in them.
const (
	connsPerTurn = 256
	slotsPerTurn = 4096
)

// Each calls f for every open connection, on its loop, as Conn.Run does, and returns when
// all were visited. It goes from loop to loop: no two calls of f run at the same time. Those
// that come or go meanwhile may or may not be among them. A panic in f ends the connection
// that it was called for, and no other. In a callback Each does not wait, and visits
// none: ErrOnLoop. After Shutdown there are none.
func (s *Server) Each(f func(c Conn)) error {
	if f == nil {
		panic("server: Server.Each was called with a nil function")
	}
	if err := s.canWait(); err != nil {
		return err
	}
	for k := range s.loops {
		s.visit(s.loops[k:k+1], f)
	}
	return nil
}

// canWait says whether the caller may wait for the loops.
func (s *Server) canWait() error {
	switch {
	case !s.life.hasRun():
		return s.life.not(running)
	case s.here() != nil:
		return ErrOnLoop
	}
	return nil
}

// EachOf is Each for the open connections of one user, by Identity.Subject: it looks at those
// only. Those that come meanwhile are not among them. The loops do not wait for one another: f may
// run on several of them at a time. When ctx is over before all were visited its error is returned,
// and f is not called any more; a call that is under way goes on.
func (s *Server) EachOf(ctx context.Context, subject string, f func(c Conn)) error {
	if f == nil {
		panic("server: Server.EachOf was called with a nil function")
	}
	if err := s.canWait(); err != nil {
		return err
	}
	byLoop := make(map[*loop][]Conn)
	for _, c := range s.UserConns(subject) {
		byLoop[c.loop] = append(byLoop[c.loop], c)
	}
	done := make(chan struct{}, len(byLoop))
	for l, conns := range byLoop {
		l.visitOneByOne(ctx, conns, f, done)
	}
	for range byLoop {
		select {
		case <-done:
		case <-s.done: // the loops may not have come to it
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// visitOneByOne is EachOf for connections of one loop, each in a turn of its own.
func (l *loop) visitOneByOne(ctx context.Context, conns []Conn, f func(c Conn), done chan<- struct{}) {
	if len(conns) == 0 || l.Post(func() {
		defer l.visitOneByOne(ctx, conns[1:], f, done) // also if f ends the goroutine
		select {
		case <-l.srv.done: // nobody waits any more
		case <-ctx.Done():
		default:
			if c, at := conns[0], l.At(conns[0].slot); !c.isClosed() && takesPosts(at) {
				l.DealWith(at)
				l.visit(at, f)
			}
		}
	}) != nil {
		done <- struct{}{} // or the loop has ended
	}
}

// visit is Each for the connections of some loops, which do not wait for one another.
func (s *Server) visit(loops []*loop, f func(c Conn)) {
	s.tour(loops, func(*loop) {}, func(l *loop, at link) bool {
		if !takesPosts(at) {
			return false
		}
		l.visit(at, f)
		return true
	})
}

// tour has each of some loops begin, and then look at its streams, in turns: look reports
// whether there was anything to do. It waits for them.
func (s *Server) tour(loops []*loop, begin func(l *loop), look func(l *loop, s link) bool) {
	waiting := 0
	done := make(chan struct{}, len(loops))
	for _, l := range loops {
		t := &tour{l, 1, look, done}
		if l.Post(func() { begin(l); t.goOn() }) == nil {
			waiting++
		}
	}
	for ; waiting > 0; waiting-- {
		select {
		case <-done:
		case <-s.done: // not all loops may have answered
			return
		}
	}
}

// tour is a loop's way past its streams.
type tour struct {
	*loop
	next uint32 // the slot to look at
	look func(l *loop, s link) bool
	done chan<- struct{}
}

// goOn looks at a few streams in this turn. If look ends the goroutine another goes on.
func (t *tour) goOn() {
	defer func() {
		if t.next >= t.Slots() || t.Post(t.goOn) != nil {
			t.done <- struct{}{}
		}
	}()
	visited := 0
	for looked := 0; looked < slotsPerTurn && visited < connsPerTurn && t.next < t.Slots(); looked++ {
		s := t.At(t.next)
		t.next++
		t.DealWith(s)
		if t.look(t.loop, s) {
			visited++
		}
	}
}

// UserConns returns the open connections of a user, by Identity.Subject, the latest first. It
// looks at those only. Safe for any goroutine.
func (s *Server) UserConns(subject string) []Conn {
	if !s.life.hasRun() {
		return nil
	}
	return s.users.conns(subject)
}

// CloseUser closes all connections of a user, by Identity.Subject, and returns how many
// there were. Errors are those of Conn.Close for the code. Safe for any goroutine.
func (s *Server) CloseUser(subject string, code frame.StatusCode, reason string) (closed int, err error) {
	if !code.Sendable() {
		return 0, fmt.Errorf("server: %v is not for the wire", code)
	}
	if !s.life.hasRun() {
		return 0, s.life.not(running)
	}
	for _, c := range s.UserConns(subject) {
		if c.Close(code, reason) == nil {
			closed++
		}
	}
	return closed, nil
}
