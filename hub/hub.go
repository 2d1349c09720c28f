//go:build linux

package hub

import (
	"container/list"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/usher-ws/usher/frame"
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

	// Moved is called when a user comes to a topic or goes, one call after the other
	// in each topic, on the goroutine that joins or leaves or on one of the hub's
	// own. It may publish, send and ask; it must not join, leave or record. LeaveGrace
	// is how long a user is still there who has no member left, unless more than half
	// of MaxTopics are in use and nobody else is in this one. GatherAbove says in
	// topics of how many users moves are gathered for a second. 0 means not at all
	// for either.
	Moved       func(t *Topic, m Move)
	LeaveGrace  time.Duration
	GatherAbove int

	// Middleware's Send hooks are called with everything that is published to a
	// topic, on the publisher's goroutine, the first listed outermost: once for
	// each dialect. What is recorded has its own chain of them, and is kept as they
	// left it; they must not join or leave then. Direct messages do not pass through
	// them.
	Middleware []server.Middleware

	// History is how many recorded messages a topic keeps, up to 256 KiB of them, for
	// who joins later; 0 means none. HistoryBytes is what all topics together keep
	// at most; 0 means 32 MiB. Replay is called, before a member joins, with what
	// there is in its dialect, the oldest first; the messages are the hub's, not to
	// be changed or kept. nil sends each again.
	History      int
	HistoryBytes int
	Replay       func(m *Member, past []server.Message)

	// Broker carries what is published to this hub's topics and to those of others;
	// nil means that there are no others. Presence and direct messages are each hub's
	// own.
	Broker Broker

	// mu guards the table: all topics' users and their members, and who is about
	// to be gone from it. Of two locks, a topic's order is taken first.
	mu       sync.Mutex
	topics   map[string]*Topic
	leaving  list.List // of *user without a member, the first to go in front
	expiring bool      // somebody will look after leaving
	gathered []*Topic  // with moves to tell of

	historyBytes atomic.Int64 // of all topics
}

// Join makes c, a connection of the user, a member of the topic, and makes the
// topic if it is the first. The error is ErrTooManyTopics when there cannot be one
// more, net.ErrClosed when c is known to be gone, and server.ErrBacklog when c has not
// taken all that was said before.
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
	m := &Member{conn: c, dialect: int32(dialect)}
	for {
		t, err := h.find(topic)
		if err != nil {
			return nil, err
		}
		if joined, err := t.join(m, user); joined {
			return m, nil
		} else if err != nil {
			return nil, err
		} // or it was forgotten meanwhile
	}
}

// Publish is [Topic.Publish] for who is not in the topic. If nobody is, nobody hears
// it, and that is no error.
func (h *Hub) Publish(topic string, op frame.Opcode, b ...[]byte) error {
	return h.publish(Message{Topic: topic, Opcode: op, Data: b})
}

// Record is [Topic.Record] for who is not in the topic. It makes no topic.
func (h *Hub) Record(topic string, op frame.Opcode, b ...[]byte) error {
	return h.publish(Message{Topic: topic, Opcode: op, Data: b, Kept: true})
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

// publish has m delivered, wherever there is such a topic.
func (h *Hub) publish(m Message) error {
	if h.Broker != nil {
		return h.Broker.Publish(m)
	}
	h.mu.Lock()
	t := h.topics[m.Topic]
	h.mu.Unlock()
	if t == nil {
		return nil
	}
	return t.deliver(m)
}

// hasPlace is HasPlace under mu.
func (h *Hub) hasPlace(topic string) bool {
	return h.topics[topic] != nil || h.MaxTopics <= 0 || len(h.topics) < h.MaxTopics
}

// find returns the topic of a name, a new one if there is none. Who asked must join
// it: that, or not getting in, is what ends it.
func (h *Hub) find(name string) (*Topic, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.hasPlace(name) {
		return nil, ErrTooManyTopics
	}
	t := h.topics[name]
	if t == nil {
		t = newTopic(h, name)
		if h.topics == nil {
			h.topics = make(map[string]*Topic)
		}
		h.topics[name] = t
	}
	return t, nil
}

// add puts m into the table. It fails if the topic was forgotten: being in a topic
// and that being in the table is one step. came says that the user was not there,
// and count is how many are.
func (h *Hub) add(t *Topic, m *Member, name string) (added, came bool, count int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.topics[t.name] != t {
		return false, false, 0
	}
	u := t.users[name]
	if u == nil {
		u = &user{topic: t, name: name}
		t.users[name] = u
		came = true
	}
	h.stay(u)
	m.user = u
	u.add(m)
	return true, came, len(t.users)
}

// remove takes m out of the table. left is false if it was not there any more.
// went says that the user is gone with it; if there is grace, one that LeaveGrace
// keeps is not yet. others are in the topic, and count is how many users are.
func (h *Hub) remove(m *Member, grace bool) (left, went, others bool, count int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m.place == gone {
		return false, false, false, 0
	}
	u := m.user
	t := u.topic
	u.remove(m)
	switch {
	case len(u.members) > 0:
	case !grace || h.LeaveGrace <= 0:
		h.forget(u)
		went = true
	case t.members == 0 && !h.roomy():
		for _, u := range t.users { // the others have left before
			h.stay(u)
			h.forget(u)
		}
		went = true
	default:
		h.keep(u)
	}
	return true, went, t.members > 0, len(t.users)
}

// roomy reports whether a topic without members may stay in use for LeaveGrace: who
// rushes through topics takes up half of MaxTopics at most. It is called under mu.
func (h *Hub) roomy() bool { return h.MaxTopics <= 0 || len(h.topics) <= h.MaxTopics/2 }

// forget takes a user without members out of the table, and the topic with its
// last user. It is called under mu and the topic's order; settle must follow.
func (h *Hub) forget(u *user) {
	delete(u.topic.users, u.name)
	if len(u.topic.users) == 0 {
		u.topic.forgotten.Store(true)
		delete(h.topics, u.topic.name)
	}
}
