//go:build linux

package hub

import (
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

// Member is one connection in one topic, from [Hub.Join] until Leave or the connection's end.
// It is a handle that nobody but the caller keeps: the hub's tables have no pointer for each
// member. Two that are for the same membership are equal as values, not as pointers. It stays
// what it is when the member has left, also if its connection joins again. All methods are
// safe for any goroutine.
type Member struct {
	topic   *Topic
	user    string
	conn    server.Conn
	dialect int32
	join    uint32 // see seat
}

// Topic returns the topic, even after the member has left.
func (m *Member) Topic() *Topic { return m.topic }

// User returns the user's name, even after the member has left.
func (m *Member) User() string { return m.user }

// Conn returns the connection, even after the member has left.
func (m *Member) Conn() server.Conn { return m.conn }

// Dialect returns the dialect that the member has joined with.
func (m *Member) Dialect() int { return int(m.dialect) }

// Send sends b as one message to the member alone, whose Dialect the caller has to speak.
// Errors are those of [server.Conn.Send].
func (m *Member) Send(op frame.Opcode, b []byte) error { return m.conn.Send(op, b) }

// SetStatus sets the status of the user, for others to see in [Topic.Presence]; "" is none.
// It ends when the user leaves the topic. A member that has left changes nothing.
func (m *Member) SetStatus(status string) {
	h := m.topic.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.weigh(nil)
	if i := h.seatOf(m); i != 0 {
		h.seats.setStatus(m.topic, h.seats.At(i).name, status)
		if far := m.topic.far; far != nil {
			h.cluster.view.SetStatus(far, m.user, status)
			h.cluster.kick()
		}
	}
}

// Leave takes the member out of the topic. It reports whether the topic has other members,
// connections of the same user included. Only the first call counts: a later one, or one
// after the hub has taken the member out, does nothing and returns false.
//
// What was published before may still arrive. What the caller publishes afterwards does
// not.
func (m *Member) Leave() (others bool) {
	_, others = m.topic.leave(m, true)
	return others
}
