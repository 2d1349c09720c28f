//go:build linux

package hub

import (
	"errors"
	"net"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

// Topic is where members hear each other. It is reached through its members; one
// that was forgotten has none, and never will again: who joins its name later is
// in another Topic. All methods are safe for any goroutine.
type Topic struct {
	hub   *Hub
	name  string
	group server.Group
	users map[string]*user // by name; guarded by hub.mu
}

// newTopic returns an empty topic.
func newTopic(h *Hub, name string) *Topic {
	return &Topic{
		hub:   h,
		name:  name,
		group: server.Group{Middleware: h.Middleware},
		users: make(map[string]*user),
	}
}

// Name returns what the topic was joined as.
func (t *Topic) Name() string { return t.name }

// Publish sends b as one message to every connection in the topic, that of the
// publisher included. It takes no lock of the hub and does not wait. An error is
// a Send hook's, or server.ErrBacklog, or one for an opcode that is not text or
// binary; after ErrBacklog some of the members have the message and others will
// not get it. One member that is slow or gone is no error.
func (t *Topic) Publish(op frame.Opcode, b []byte) error { return t.group.Send(op, b) }

// Direct sends b as one message to all connections that the user has in the topic,
// and to nobody else. n is how many there are: 0 means that the user is not here.
// The error is the last that [server.Conn.Send] answered for one of them; the
// others have the message. A connection that is just ending is no error.
func (t *Topic) Direct(user string, op frame.Opcode, b []byte) (n int, err error) {
	var few [8]server.Conn // so many do not need the heap
	conns := t.appendConns(few[:0], user)
	for _, c := range conns {
		if sent := c.Send(op, b); sent != nil && !errors.Is(sent, net.ErrClosed) {
			err = sent
		}
	}
	return len(conns), err
}

// appendConns appends the connections of a user.
func (t *Topic) appendConns(dst []server.Conn, name string) []server.Conn {
	t.hub.mu.Lock()
	defer t.hub.mu.Unlock()
	if u := t.users[name]; u != nil {
		for _, m := range u.members {
			dst = append(dst, m.conn)
		}
	}
	return dst
}
