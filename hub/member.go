//go:build linux

package hub

import (
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

// Member is one connection in one topic, from [Hub.Join] until Leave. It does not
// change meanwhile but for its status, which it shares with all members of its
// user there. All methods are safe for any goroutine. It takes 32 bytes.
type Member struct {
	user    *user
	conn    server.Conn
	dialect int32
	place   int32 // in user.members, or gone; guarded by Hub.mu
}

// gone is the place of a member that has left.
const gone = -1

// Topic returns the topic, also when the member has left.
func (m *Member) Topic() *Topic { return m.user.topic }

// User returns the user's name.
func (m *Member) User() string { return m.user.name }

// Dialect returns what the member joined as.
func (m *Member) Dialect() int { return int(m.dialect) }

// Send sends one message, b as for [Topic.Publish], to the member alone. Errors are
// those of [server.Conn.Send].
func (m *Member) Send(op frame.Opcode, b ...[]byte) error {
	return m.conn.Send(op, in(int(m.dialect), b))
}

// SetStatus keeps what the user says of themselves, for others to see in
// [Topic.Presence]; "" is nothing. It ends with the user. Of a member that has left
// it is ignored.
func (m *Member) SetStatus(status string) {
	h := m.Topic().hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if m.place != gone {
		m.user.status = status
	}
}

// Leave takes the member out of the topic. It reports whether there are others in
// the topic to tell, connections of the same user included. Only the first call
// counts: a later one does nothing and is false.
//
// What was published before may still arrive. What the caller publishes
// afterwards does not.
func (m *Member) Leave() (others bool) { return m.Topic().leave(m) }
