//go:build linux

package hub

import (
	"errors"
	"sync"

	"github.com/usher-ws/usher/server"
)

// ErrTooManyTopics is what Join answers when the topic is not in use, and
// Hub.MaxTopics others are.
var ErrTooManyTopics = errors.New("hub: too many topics in use")

var errDialect = errors.New("hub: there is no such dialect: see Hub.Dialects")

// Hub is a set of topics. The zero Hub is ready; it must not be copied, and its
// connections must be of one Server. The fields are to be set before use. All
// methods are safe for any goroutine.
type Hub struct {
	// MaxTopics is how many topics can be in use at once; 0 means any number.
	// Where clients choose the names it should be set.
	MaxTopics int

	// Dialects is in how many encodings what is published may come; 0 means one.
	// A member hears one of them, which JoinAs chooses.
	Dialects int

	// Middleware's Send hooks are called with everything that is published to a
	// topic, on the publisher's goroutine, the first listed outermost: once for
	// each dialect. Direct messages do not pass through them.
	Middleware []server.Middleware

	mu     sync.Mutex // guards all topics' users, and their members
	topics map[string]*Topic
}

// Join makes c, a connection of the user, a member of the topic, and makes the
// topic if it is the first. The error is ErrTooManyTopics when there cannot be one
// more, and net.ErrClosed when c is known to be gone.
//
// The caller keeps the Member, and leaves it in the Close callback of c. That is
// sure to come later if Join is called in another callback of c. Anywhere else
// Close may have been first, with no error here: the caller must find out, or the
// member stays for good.
//
// A connection can be in many topics, but in each only once: to join again it must
// have left.
func (h *Hub) Join(topic, user string, c server.Conn) (*Member, error) {
	return h.JoinAs(topic, user, 0, c)
}

// JoinAs is Join for a member that hears a dialect, from 0 to less than
// Hub.Dialects.
func (h *Hub) JoinAs(topic, user string, dialect int, c server.Conn) (*Member, error) {
	if dialect < 0 || dialect >= max(1, h.Dialects) {
		return nil, errDialect
	}
	m, err := h.add(topic, user, dialect, c)
	if err != nil {
		return nil, err
	}
	if err := m.group().Join(c); err != nil {
		h.remove(m)
		return nil, err
	}
	return m, nil
}

// HasPlace reports whether the topic could be joined now: it is in use, or one
// more may be. It makes nothing, so a door can ask it of anybody. Others may
// come in before who was let through: Join has the last word.
func (h *Hub) HasPlace(topic string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.hasPlace(topic)
}

// Len returns how many topics are in use.
func (h *Hub) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.topics)
}

// hasPlace is HasPlace under mu.
func (h *Hub) hasPlace(topic string) bool {
	return h.topics[topic] != nil || h.MaxTopics <= 0 || len(h.topics) < h.MaxTopics
}

// add puts a member into the table. Finding the topic and being in it is one step,
// so that nobody can be in a topic that is forgotten.
func (h *Hub) add(topic, name string, dialect int, c server.Conn) (*Member, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.hasPlace(topic) {
		return nil, ErrTooManyTopics
	}
	t := h.topics[topic]
	if t == nil {
		t = newTopic(h, topic)
		if h.topics == nil {
			h.topics = make(map[string]*Topic)
		}
		h.topics[topic] = t
	}
	u := t.users[name]
	if u == nil {
		u = &user{name: name}
		t.users[name] = u
	}
	m := &Member{topic: t, user: u, conn: c, dialect: int32(dialect)}
	u.add(m)
	return m, nil
}

// remove takes m out of the table, and forgets the user with their last member
// and the topic with its last user. left is false if m was not there any more;
// others says that somebody still is.
func (h *Hub) remove(m *Member) (left, others bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m.place == gone {
		return false, false
	}
	t, u := m.topic, m.user
	u.remove(m)
	if len(u.members) == 0 {
		delete(t.users, u.name)
	}
	if len(t.users) == 0 {
		delete(h.topics, t.name)
		return true, false
	}
	return true, true
}
