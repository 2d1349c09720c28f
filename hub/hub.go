//go:build linux

package hub

import (
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/server"
)

var (
	// ErrTooManyTopics is what Join answers when Hub.MaxTopics other topics are in use.
	ErrTooManyTopics = errors.New("hub: too many topics in use")

	// ErrTooManyOfUser is what Join answers when the user has connections in
	// Hub.MaxTopicsPerUser other topics.
	ErrTooManyOfUser = errors.New("hub: too many topics of this user")

	// ErrNameTaken is what Join answers when the topic has another user whose name has
	// the same Hub.Key.
	ErrNameTaken = errors.New("hub: a user of the topic has a name like this")

	// ErrAway is what Direct answers when the user has no connection at the moment and
	// is only kept in the topic by Hub.LeaveGrace.
	ErrAway = errors.New("hub: the user has no connection at the moment")
)

var (
	errDialect = errors.New("hub: there is no such dialect: see Hub.Dialects")
	errServers = errors.New("hub: the connections in a topic must be of one Server")
	errJoined  = errors.New("hub: the connection is in the topic already: its Member must leave first")
)

// Hub is a set of topics. The zero Hub is ready; it must not be copied. The connections in
// a topic must be of one Server. The fields are to be set before use; for some there is
// SetLimits. All methods are safe for any goroutine.
//
// The functions that a Hub is given (Key, DialectOf, Announce, Moved, Replay, Send hooks, encoders, a
// Broker) are called without a lock and may call any method; but for Note, which is for those
// that need no more than a record.
type Hub struct {
	// MaxTopics is how many topics can be in use at once; 0 means any number. It should
	// be set where clients choose the names.
	MaxTopics int

	// MaxTopicsPerUser is in how many topics a user can have connections at once; 0
	// means any number. What LeaveGrace keeps does not count.
	MaxTopicsPerUser int

	// Key returns what a name is compared by. Names with the same key pass for each
	// other: two users with such names cannot be in one topic at once, and a user is
	// found by any of them. nil means the name itself: all names differ.
	Key func(name string) string

	// Dialects is how many encodings a message may have, 65,536 at most; 0 means one. A
	// member hears one of them, which JoinAs chooses.
	Dialects int

	// DialectOf returns which dialect a connection hears, and whether it can be in topics at
	// all. JoinUser asks it, on the connection's loop, where it must not block. nil means
	// dialect 0, and that all can.
	DialectOf func(c server.Conn) (dialect int, ok bool)

	// Announce returns what the topic hears of a move; a nil Encoder says nothing. It
	// leaves in one step with the move itself: a member that joins hears it right behind
	// the history and before anything that is recorded later, and announcements come in
	// the order of the moves. Announce, like the Encoder, only makes a message: both may
	// be asked more than once about one move, or about one that does not happen in the
	// end, by several goroutines at a time. For an error there is nobody to be told, and a
	// Broker does not carry what is announced.
	Announce func(m Move) (frame.Opcode, Encoder)

	// Moved is called after a user has come to a topic or gone: once for each move, in
	// their order, one call after the other in each topic. See [Move] for which goroutine
	// calls it, and for what it finds.
	Moved func(t *Topic, m Move)

	// Note is told of each user that comes to a topic or goes from it, by name: also where
	// moves are gathered, and when nobody is left to hear of it. It is called under the
	// hub's lock, so that it comes in the order of the moves, and for a user that comes
	// before Join returns: it must neither wait nor call the Hub. A Join that fails once the
	// user was counted is told as one that came and went. In a cluster one hub tells of each user:
	// see the package's story.
	Note func(topic, user string, came bool)

	// LeaveGrace is how long a user stays in a topic after their last member has left,
	// unless more than half of MaxTopics are in use and the topic has no other members.
	// GatherAbove is the number of users above which a topic gathers its moves and
	// tells them once a second. 0 means neither.
	LeaveGrace  time.Duration
	GatherAbove int

	// Middleware's Send hooks are called with everything that is published to a topic, on
	// the publisher's goroutine, the first listed outermost: once for each dialect.
	// Direct messages do not pass through them. What is recorded or announced leaves when
	// all hooks have let it through: next only notes it and returns nil, it must be called
	// before the hook returns, and the history keeps what the hooks made of it. With hooks,
	// and with a Broker, an [Encoder] is asked for every dialect.
	Middleware []server.Middleware

	// History is how many recorded messages a topic keeps for members that join later, up
	// to 256 KiB of them; 0 means none. HistoryBytes is what all topics together keep at
	// most; 0 means 32 MiB.
	History      int
	HistoryBytes int

	// MaxRetained is how many topics can have a retained value, see Retain; 0 means 10,000.
	// All values together take a quarter of HistoryBytes at most, beside the histories, and
	// one up to 256 KiB in all its dialects.
	MaxRetained int

	// Replay is called with the history in a dialect, the oldest message first, and returns
	// what a member hears of it when it joins. The result serves all members that join
	// until more is recorded; those that join at the same moment may each cause a call. What
	// is recorded during the call is sent behind the result. The messages are the hub's, not
	// to be changed or kept. nil sends each message again.
	Replay func(dialect int, past []server.Message) []server.Message

	// ReplayRate is how often a user hears the history of a topic on joining it, in all
	// topics together; zero is no limit. A user that joins more often is in the topic all
	// the same, but hears nothing of what was recorded before: nothing is made for it. The
	// rate should be set where clients can join as often as they like.
	ReplayRate limiter.Rate

	// Broker carries what is published to this hub's topics and to those of other hubs;
	// nil means that there are no others. If it is a [Carrier], the hubs know each other's
	// users and their statuses, and [Topic.DirectEverywhere] reaches these, too: see "In a cluster" in
	// the package's story.
	Broker Broker

	connected sync.Once // to others, if the Broker can
	cluster   *cluster  // nil if not; set under mu

	// mu guards the tables: the users and members of all topics, and the users that are
	// about to leave them. Of the two locks, a topic's order is taken first.
	mu       sync.Mutex
	topics   map[string]*Topic
	seats    seats
	away     map[uint32]int32 // by name: topics in which the user is without connections
	leaving  []leaver         // the first to go in front, with some that were kept from it
	stayed   int              // how many of leaving these are
	expiring bool             // a timer will look after leaving
	gathered []*Topic         // with moves to tell of

	server     *server.Server // that counts what the tables take
	charged    int            // bytes of it
	topicBytes int            // of topics

	retained      map[string]*retention // by topic, in use or not
	retainedBytes int                   // of them
	lastRetained  int64                 // the latest Message.Retained that was seen
	forgotten     forgotten             // topics that retain nothing any more

	listening    atomic.Bool  // to what others retain
	historyBytes atomic.Int64 // of all topics
	replays      replays
}

// SetLimits sets other values of MaxTopicsPerUser and ReplayRate, for the joins that come from
// now on: they are the ones that can change while the hub is used. Nobody has to leave.
func (h *Hub) SetLimits(maxTopicsPerUser int, replay limiter.Rate) {
	h.replays.begin(h)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.MaxTopicsPerUser = maxTopicsPerUser
	h.replays.of.SetRate(replay, time.Since(began))
}

// Join makes c, a connection of the user, a member of the topic, and makes the topic if
// there is none. The errors are ErrTooManyTopics, ErrTooManyOfUser and ErrNameTaken;
// net.ErrClosed when c is known to have ended; server.ErrBacklog when c has not taken all of
// the history; and one of its own when c is in the topic already. A connection can be in many
// topics, but in each only once.
//
// When c ends the hub takes it out of the topic, right after the route's Close callback.
// Close may call [Member.Leave] itself; nothing else has to be done.
func (h *Hub) Join(topic, user string, c server.Conn) (*Member, error) {
	return h.JoinAs(topic, user, 0, c)
}

// JoinAs is Join for a member that hears a dialect, from 0 to less than
// Hub.Dialects.
func (h *Hub) JoinAs(topic, user string, dialect int, c server.Conn) (*Member, error) {
	if dialect < 0 || dialect >= max(1, h.Dialects) || dialect > math.MaxUint16 {
		return nil, errDialect
	}
	m := &Member{user: user, conn: c, dialect: int32(dialect)}
	key := h.key(user) // not under a lock: it may be work
	if h.Broker != nil {
		h.connect()
	}
	for {
		t, err := h.find(topic, user, key)
		if err != nil {
			return nil, err
		}
		m.topic = t
		if joined, err := t.join(m, key); joined {
			return m, nil
		} else if err != nil {
			return nil, err
		} // or it was forgotten meanwhile
	}
}

// Member returns the member of the topic that is c, or nil. It makes one for each call, which
// is on the caller's stack if that keeps it to itself. It takes the hub's lock for a moment,
// and may be called anywhere.
func (h *Hub) Member(topic string, c server.Conn) *Member {
	if m := h.member(topic, c); m.topic != nil {
		return &m
	}
	return nil
}

// member is Member; its topic is nil if there is none.
func (h *Hub) member(topic string, c server.Conn) (m Member) {
	m.conn = c
	var name []byte
	h.mu.Lock()
	if t := h.topics[topic]; t != nil {
		name = t.look(&m)
	}
	h.mu.Unlock()
	m.user = string(name)
	return m
}

// Publish is [Topic.Publish] for callers that are not in the topic. Where there is no such
// topic nobody hears it, and that is no error.
func (h *Hub) Publish(topic string, op frame.Opcode, b []byte) error {
	return h.publish(Message{Topic: topic, Opcode: op, Data: [][]byte{b}})
}

// PublishFunc is [Topic.PublishFunc] for callers that are not in the topic.
func (h *Hub) PublishFunc(topic string, op frame.Opcode, encode Encoder) error {
	return h.publish(Message{Topic: topic, Opcode: op, encode: given(encode)})
}

// Record is [Topic.Record] for callers that are not in the topic. It makes no topic.
func (h *Hub) Record(topic string, op frame.Opcode, b []byte) error {
	return h.publish(Message{Topic: topic, Opcode: op, Data: [][]byte{b}, Kept: true})
}

// RecordFunc is [Topic.RecordFunc] for callers that are not in the topic.
func (h *Hub) RecordFunc(topic string, op frame.Opcode, encode Encoder) error {
	return h.publish(Message{Topic: topic, Opcode: op, encode: given(encode), Kept: true})
}

// MayJoin returns the error that Join would answer this user now, whatever the connection:
// ErrNameTaken before ErrTooManyOfUser before ErrTooManyTopics. It makes nothing, so a door
// can ask it about anybody. Others may join before the user that was let through: Join has
// the last word.
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

// publish delivers m wherever there is such a topic.
func (h *Hub) publish(m Message) error {
	if h.Broker != nil {
		return h.Broker.Publish(m.encoded(max(1, h.Dialects)))
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
