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

var (
	// ErrTooManyTopics is what Join answers when the topic is not in use, and
	// Hub.MaxTopics others are.
	ErrTooManyTopics = errors.New("hub: too many topics in use")

	// ErrTooManyOfUser is what Join answers a user who has connections in
	// Hub.MaxTopicsPerUser other topics.
	ErrTooManyOfUser = errors.New("hub: too many topics of this user")

	// ErrNameTaken is what Join answers when another user of the topic has a name
	// of the same Hub.Key.
	ErrNameTaken = errors.New("hub: a user of the topic has a name like this")

	// ErrAway is what Direct answers when the user has no connection at the moment, and
	// is only there because of Hub.LeaveGrace.
	ErrAway = errors.New("hub: the user has no connection at the moment")
)

var errDialect = errors.New("hub: there is no such dialect: see Hub.Dialects")

// Hub is a set of topics. The zero Hub is ready; it must not be copied, and its
// connections must be of one Server. The fields are to be set before use. All
// methods are safe for any goroutine.
type Hub struct {
	// MaxTopics is how many topics can be in use at once; 0 means any number.
	// Where clients choose the names it should be set.
	MaxTopics int

	// MaxTopicsPerUser is in how many topics a user can have connections at once; 0
	// means any number. What LeaveGrace keeps does not count.
	MaxTopicsPerUser int

	// Key returns what a name is compared by. Names of one key pass for each other: two
	// users who have them cannot be in one topic at once, and a user is found by any of
	// them. nil means the name itself: all names differ.
	Key func(name string) string

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
	// them. With hooks, and with a Broker, an [Encoder] is asked for every dialect.
	Middleware []server.Middleware

	// History is how many recorded messages a topic keeps, up to 256 KiB of them, for
	// who joins later; 0 means none. HistoryBytes is what all topics together keep
	// at most; 0 means 32 MiB. Replay is called with what there is in a dialect, the
	// oldest first, and returns what a member hears of it before it joins: once for all
	// members that join until more is recorded. The messages are the hub's, not to be changed or
	// kept. nil sends each again.
	History      int
	HistoryBytes int
	Replay       func(dialect int, past []server.Message) []server.Message

	// Broker carries what is published to this hub's topics and to those of others;
	// nil means that there are no others. Presence and direct messages are each hub's
	// own.
	Broker Broker

	// mu guards the table: all topics' users and their members, and who is about
	// to be gone from it. Of two locks, a topic's order is taken first.
	mu       sync.Mutex
	topics   map[string]*Topic
	places   map[string]int // of users: topics with connections of theirs, if MaxTopicsPerUser
	leaving  list.List      // of *user without a member, the first to go in front
	expiring bool           // somebody will look after leaving
	gathered []*Topic       // with moves to tell of

	historyBytes atomic.Int64 // of all topics
}

// Join makes c, a connection of the user, a member of the topic, and makes the
// topic if it is the first. The error is ErrTooManyTopics when there cannot be one
// more, ErrTooManyOfUser or ErrNameTaken when it is about the user, net.ErrClosed when
// c is known to be gone, and server.ErrBacklog when c has not taken all that was said
// before.
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
	key := h.key(user) // not under a lock: it may be work
	for {
		t, err := h.find(topic, user, key)
		if err != nil {
			return nil, err
		}
		if joined, err := t.join(m, user, key); joined {
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

// MayJoin returns the error that Join would answer now to this user, whatever the
// connection: ErrNameTaken before ErrTooManyOfUser before ErrTooManyTopics. It makes
// nothing, so a door can ask it about anybody. Others may join before the user who was
// let through does: Join has the last word.
func (h *Hub) MayJoin(topic, user string) error {
	key := h.key(user)
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mayJoin(topic, user, key)
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

// key is Key.
func (h *Hub) key(name string) string {
	if h.Key == nil {
		return name
	}
	return h.Key(name)
}

// mayJoin is MayJoin under mu.
func (h *Hub) mayJoin(topic, name, key string) error {
	t := h.topics[topic]
	var there *user
	if t != nil {
		there = t.users[key]
	}
	connected := there != nil && len(there.members) > 0
	switch {
	case there != nil && there.name != name:
		return ErrNameTaken
	case !connected && h.MaxTopicsPerUser > 0 && h.places[name] >= h.MaxTopicsPerUser:
		return ErrTooManyOfUser
	case t == nil && h.MaxTopics > 0 && len(h.topics) >= h.MaxTopics:
		return ErrTooManyTopics
	}
	return nil
}

// find returns the topic that a user wants to join, a new one if there is none. The
// caller must call its join, which ends a topic that stays empty.
func (h *Hub) find(name, user, key string) (*Topic, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.mayJoin(name, user, key); err != nil {
		return nil, err
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

// add puts m into the table. It is not added, without an error, if the topic was
// forgotten: being in a topic and that being in the table is one step. came says that
// the user was not there, and count is how many are. It is called under the topic's
// order; if there is an error, settle must follow.
func (h *Hub) add(t *Topic, m *Member, name, key string) (added, came bool, count int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.topics[t.name] != t {
		return false, false, 0, nil
	}
	if err := h.mayJoin(t.name, name, key); err != nil {
		h.vacate(t) // others of the same user were quicker, elsewhere
		return false, false, 0, err
	}
	u := t.users[key]
	if u == nil {
		u = &user{topic: t, name: name, key: key}
		t.users[key] = u
		came = true
	}
	h.stay(u)
	m.user = u
	u.add(m)
	if len(u.members) == 1 {
		h.place(name, 1)
	}
	return true, came, len(t.users), nil
}

// place counts a topic in which a user has connections, or no longer. It is called
// under mu.
func (h *Hub) place(name string, n int) {
	if h.MaxTopicsPerUser <= 0 {
		return
	}
	if h.places == nil {
		h.places = make(map[string]int)
	}
	if h.places[name] += n; h.places[name] == 0 {
		delete(h.places, name)
	}
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
	if len(u.members) == 0 {
		h.place(u.name, -1)
	}
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
	delete(u.topic.users, u.key)
	h.vacate(u.topic)
}

// vacate takes a topic without users out of the table, as forget does.
func (h *Hub) vacate(t *Topic) {
	if len(t.users) == 0 {
		t.forgotten.Store(true)
		delete(h.topics, t.name)
	}
}
