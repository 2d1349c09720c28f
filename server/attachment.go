//go:build linux

package server

import (
	"sync"
	"sync/atomic"
)

// Attachment keeps a value with some connections: that of a middleware or a package, with
// a type of its own. A connection that has one pays for a map entry, and others pay
// nothing. It ends with the connection, after the Close callbacks and Group.Left.
//
// The zero Attachment is ready; it must not be copied. Make one for a program or a
// middleware, not for a connection: each kind costs every loop a few words for good. Its
// methods belong to the connection's callbacks, as those of Conn do.
type Attachment[T any] struct {
	once  sync.Once
	index int // in loop.attached
}

// kinds is how many kinds of Attachments there are in the process.
var kinds atomic.Int64

// Get returns what c has, and false if it has none or has ended.
func (a *Attachment[T]) Get(c Conn) (v T, ok bool) {
	s, ok := c.mine("Attachment.Get")
	if !ok {
		return v, false
	}
	t := a.of(c.loop)
	if t == nil {
		return v, false
	}
	v, ok = t[s.Slot()]
	return v, ok
}

// Set gives c a value, instead of the one it has. From the Close callbacks on it does
// nothing.
func (a *Attachment[T]) Set(c Conn, v T) {
	s, ok := c.mine("Attachment.Set")
	if !ok || !s.Data().facts.isUsers() {
		return
	}
	t := a.of(c.loop)
	if t == nil {
		t = make(perConn[T])
		c.loop.attached[a.index] = t
	}
	t[s.Slot()] = v
}

// Delete takes the value away.
func (a *Attachment[T]) Delete(c Conn) {
	if s, ok := c.mine("Attachment.Delete"); ok {
		a.of(c.loop).drop(s.Slot())
	}
}

// of returns the values of a loop's connections, nil if none ever had one.
func (a *Attachment[T]) of(l *loop) perConn[T] {
	a.once.Do(func() { a.index = int(kinds.Add(1)) - 1 })
	for len(l.attached) <= a.index {
		l.attached = append(l.attached, nil)
	}
	t, _ := l.attached[a.index].(perConn[T])
	return t
}

// perConn are values of some of a loop's connections, by their slots.
type perConn[T any] map[uint32]T

func (t perConn[T]) drop(slot uint32) {
	if len(t) > 0 {
		delete(t, slot)
	}
}

// attached is a perConn of whatever type.
type attached interface{ drop(slot uint32) }

// detachAll takes away all that a connection has beside its session.
func (l *loop) detachAll(s link) {
	l.data.drop(s.Slot())
	l.networks.set(s.Slot(), 0)
	for _, t := range l.attached {
		if t != nil {
			t.drop(s.Slot())
		}
	}
}
