//go:build linux

package hub

import (
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

// Member is one connection in one topic, from [Hub.Join] until Leave or the connection's end.
// All that changes meanwhile is its status, which it shares with the other members of its
// user in the topic. All methods are safe for any goroutine. It takes 32 bytes.
type Member struct {
	user    *user
	conn    server.Conn
	dialect int32
	place   int32 // in user.members, or gone; guarded by Hub.mu
}

// gone is the place of a member that has left.
const gone = -1

// Topic returns the topic, even after the member has left.
func (m *Member) Topic() *Topic { return m.user.topic }

// User returns the user's name.
func (m *Member) User() string { return m.user.name }

// Dialect returns the dialect that the member has joined with.
func (m *Member) Dialect() int { return int(m.dialect) }

// Send sends b as one message to the member alone, whose Dialect the caller has to speak.
// Errors are those of [server.Conn.Send].
func (m *Member) Send(op frame.Opcode, b []byte) error { return m.conn.Send(op, b) }

// SetStatus sets the status of the user, for others to see in [Topic.Presence]; "" is none.
// It ends when the user leaves the topic. A member that has left changes nothing.
func (m *Member) SetStatus(status string) {
	h := m.Topic().hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if m.place != gone {
		m.user.status = status
	}
}

// Leave takes the member out of the topic. It reports whether the topic has other members,
// connections of the same user included. Only the first call counts: a later one, or one
// after the hub has taken the member out, does nothing and returns false.
//
// What was published before may still arrive. What the caller publishes afterwards does
// not.
func (m *Member) Leave() (others bool) { return m.Topic().leave(m) }
