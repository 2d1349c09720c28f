//go:build linux

package hub

import (
	"errors"
	"net"
	"sync"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

// Topic is where members hear each other. It is reached through its members; one
// that was forgotten has none, and never will again: who joins its name later is
// in another Topic. All methods are safe for any goroutine.
type Topic struct {
	hub    *Hub
	name   string
	groups []server.Group // by dialect

	users   map[string]*user // by name; guarded by hub.mu
	members int              // of all users; guarded by hub.mu

	// order is held while the table changes and while that is told, so that moves
	// are told in the order in which they happened.
	order sync.Mutex
	moves Move // gathered; guarded by order
}

// newTopic returns an empty topic.
func newTopic(h *Hub, name string) *Topic {
	t := &Topic{
		hub:    h,
		name:   name,
		groups: make([]server.Group, max(1, h.Dialects)),
		users:  make(map[string]*user),
	}
	for d := range t.groups {
		t.groups[d].Middleware = h.Middleware
	}
	return t
}

// Name returns what the topic was joined as.
func (t *Topic) Name() string { return t.name }

// join makes m a member. It is not joined and there is no error if the topic was
// forgotten.
func (t *Topic) join(m *Member, name string) (joined bool, err error) {
	t.order.Lock()
	defer t.order.Unlock()
	added, came, count := t.hub.add(t, m, name)
	if !added {
		return false, nil
	}
	if err := m.group().Join(m.conn); err != nil {
		if _, went, _, count := t.hub.remove(m, !came); went && !came {
			t.gone(name, count)
		}
		return false, err
	}
	if t.hub.Moved == nil {
		return true, nil
	}
	move := Move{User: name, Joined: 1, Count: count}
	if !came || t.gather(move) {
		move.To = m
	}
	t.hub.Moved(t, move)
	return true, nil
}

// leave is Member.Leave.
func (t *Topic) leave(m *Member) (others bool) {
	t.order.Lock()
	defer t.order.Unlock()
	left, went, others, count := t.hub.remove(m, true)
	if left {
		_ = m.group().Leave(m.conn) // fails only if it has ended, and left by that
	}
	if went {
		t.gone(m.User(), count)
	}
	return others
}

// Publish sends one message to every connection in the topic, that of the
// publisher included: in each dialect what b has for it, and the last of b in those
// beyond. It takes no lock of the hub and does not wait. An error is a Send hook's,
// or server.ErrBacklog, or one for an opcode that is not text or binary; after
// ErrBacklog some of the members have the message and others will not get it. One
// member that is slow or gone is no error.
func (t *Topic) Publish(op frame.Opcode, b ...[]byte) (err error) {
	for d := range t.groups {
		if failed := t.groups[d].Send(op, in(d, b)); failed != nil {
			err = failed
		}
	}
	return err
}

// in returns what b has for a dialect.
func in(dialect int, b [][]byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b[min(dialect, len(b)-1)]
}

// Direct sends one message, b as for Publish, to all connections that the user has
// in the topic, and to nobody else. n is how many there are: 0 means that the user
// is not here. The error is the last that [server.Conn.Send] answered for one of
// them; the others have the message. A connection that is just ending is no error.
func (t *Topic) Direct(user string, op frame.Opcode, b ...[]byte) (n int, err error) {
	var few [8]*Member // so many do not need the heap
	members := t.appendMembers(few[:0], user)
	for _, m := range members {
		if sent := m.conn.Send(op, in(int(m.dialect), b)); sent != nil && !errors.Is(sent, net.ErrClosed) {
			err = sent
		}
	}
	return len(members), err
}

// appendMembers appends the members of a user.
func (t *Topic) appendMembers(dst []*Member, name string) []*Member {
	t.hub.mu.Lock()
	defer t.hub.mu.Unlock()
	if u := t.users[name]; u != nil {
		dst = append(dst, u.members...)
	}
	return dst
}
