//go:build linux

package hub

import (
	"slices"
	"unsafe"

	"github.com/usher-ws/usher/server"
)

// This file is what a hub does with its tables, which Hub.mu guards.

// mayJoin is MayJoin under mu.
func (h *Hub) mayJoin(topic, name, key string) error {
	t := h.topics[topic]
	there := uint32(0)
	if t != nil {
		there = h.seats.ofUser(t, key)
	}
	switch {
	case there != 0 && string(h.seats.nameOf(there)) != name:
		return ErrNameTaken
	case there == 0 && t != nil && t.far != nil && t.far.IsTaken(name, key):
		return ErrNameTaken
	case h.MaxTopicsPerUser > 0 && !h.seats.isTaken(there) && h.places(name) >= h.MaxTopicsPerUser:
		return ErrTooManyOfUser
	case t == nil && h.MaxTopics > 0 && len(h.topics) >= h.MaxTopics:
		return ErrTooManyTopics
	}
	return nil
}

// places returns in how many topics a user has connections. It is called under mu.
func (h *Hub) places(name string) int {
	i := h.seats.names.find(name)
	if i == 0 {
		return 0
	}
	return int(h.seats.names.At(i).topics) - int(h.away[i])
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
		h.topicBytes += t.size()
	}
	return t, nil
}

// add puts m into the table. It is not added, without an error, if the topic was
// forgotten: to be in a topic whose name the table knows is one step. Like all that
// changes the users of a topic it is called under the topic's order.
func (h *Hub) add(m *Member, key string) (added bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.weigh(m.conn.Server())
	t, s, c := m.topic, &h.seats, m.conn.Key()
	if h.topics[t.name] != t {
		return false, nil
	}
	if err := h.mayJoin(t.name, m.user, key); err != nil {
		return false, err // others of the same user were quicker, elsewhere
	}
	switch {
	case t.conns.Len() == 0:
		t.server = m.conn.Server()
	case t.server != m.conn.Server():
		return false, errServers
	case s.ofConn(t, c) != 0:
		return false, errJoined
	}
	i := s.ofUser(t, key)
	switch {
	case i == 0:
		i = s.take(t, m.user, key)
		h.came(t, m.user, key)
		h.noteCame(t, i)
	case s.isTaken(i):
		i = s.takeBeside(i)
	default:
		h.stay(i)
	}
	m.join = s.sitDown(t, i, c, m.dialect)
	return true, nil
}

// remove takes m out of the table. left is false if it was not there any more. went
// says that the user has gone with it; with grace, a user that LeaveGrace keeps has not, and
// one that is at other hubs never has. others says that the topic has other members, and count
// is how many users it has.
func (h *Hub) remove(m *Member, grace bool) (left, went, others bool, count int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.weigh(m.conn.Server())
	t, s := m.topic, &h.seats
	i := h.seatOf(m)
	if i == 0 {
		return false, false, false, 0
	}
	isElsewhere := t.isSeatElsewhere(i)
	s.getUp(t, i)
	switch {
	case s.giveBeside(t, i):
	case !grace || h.LeaveGrace <= 0:
		h.forget(t, i)
		went = true
	case t.conns.Len() == 0 && !h.roomy():
		h.keep(t, i)
		h.forgetAll(t) // the others have left before
		went = true
	default:
		h.keep(t, i)
	}
	return true, went && !isElsewhere, t.conns.Len() > 0, t.count()
}

// seatOf returns the seat of m, 0 if it has left. It is called under mu.
func (h *Hub) seatOf(m *Member) uint32 {
	i := h.seats.ofConn(m.topic, m.conn.Key())
	if i != 0 && h.seats.At(i).join != m.join {
		return 0
	}
	return i
}

// roomy reports whether a topic without members may stay in use for LeaveGrace: a user
// that rushes through topics takes up half of MaxTopics at most. It is called under mu.
func (h *Hub) roomy() bool { return h.MaxTopics <= 0 || len(h.topics) <= h.MaxTopics/2 }

// forget takes a user without connections out of the table, and the topic with its
// last user. It is called under mu and the topic's order.
func (h *Hub) forget(t *Topic, seat uint32) {
	h.went(t, seat)
	h.giveUp(t, seat)
	h.vacate(t)
}

// forgetAll does so for all users of a topic, which keep has kept.
func (h *Hub) forgetAll(t *Topic) {
	for _, i := range slices.Collect(t.users.All((*byUser)(&h.seats), 0)) {
		h.stay(i)
		h.went(t, i)
		h.giveUp(t, i)
	}
	h.vacate(t)
}

// giveUp takes a user without connections out of the table.
func (h *Hub) giveUp(t *Topic, seat uint32) {
	h.noteWent(t, seat)
	h.seats.give(t, seat)
}

// vacateIfEmpty ends a topic that find has made and nobody has joined. It is called under the
// topic's order.
func (h *Hub) vacateIfEmpty(t *Topic) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.weigh(nil)
	if h.topics[t.name] == t {
		h.vacate(t)
	}
}

// leavingLast reports whether a user goes from the topic when m leaves, and others stay: count
// is how many. With grace LeaveGrace keeps the user. It is called under the topic's order.
func (h *Hub) leavingLast(m *Member, grace bool) (count int, last bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := m.topic
	if count = t.users.Len() - 1; count > 0 {
		count = t.count() - 1
	}
	if grace && h.LeaveGrace > 0 || count == 0 {
		return count, false
	}
	i := h.seatOf(m)
	_, more := h.seats.rings[i]
	return count, i != 0 && !more && !t.isSeatElsewhere(i)
}

// vacate takes a topic without users out of the table, as forget does.
func (h *Hub) vacate(t *Topic) {
	if t.users.Len() == 0 {
		t.forgotten.Store(true)
		h.endFar(t)
		delete(h.topics, t.name)
		h.topicBytes -= t.size()
	}
	if h.seats.Len() == 0 {
		h.leaving, h.stayed = nil, 0 // nobody is: it would lead to seats that there are no more
	}
}

// weigh charges what the tables take to the server of the connection for which they have
// changed, nil for that of the last one: a hub serves one as a rule. It is called under mu.
func (h *Hub) weigh(of *server.Server) {
	if of == nil {
		of = h.server
	}
	if of == nil {
		return
	}
	if of != h.server {
		if h.server != nil {
			h.server.Charge(-h.charged)
		}
		h.server, h.charged = of, 0
	}
	if n := h.size(); n != h.charged {
		of.Charge(n - h.charged)
		h.charged = n
	}
}

// size is what is in the tables, without the room that they have beside.
func (h *Hub) size() int {
	const awaySize = 16
	n := h.seats.size() + h.topicBytes + h.retainedBytes + h.forgotten.bytes + len(h.leaving)*int(unsafe.Sizeof(leaver{})) + len(h.away)*awaySize
	if h.cluster != nil {
		n += h.cluster.size()
	}
	return n
}

// size is what a topic takes without members and history, its place in the hub's table included.
func (t *Topic) size() int {
	return int(unsafe.Sizeof(*t)) + len(t.voices)*int(unsafe.Sizeof(voice{})) + len(t.name) + 32
}
