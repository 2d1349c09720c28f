//go:build linux

package hub

// This file is the table of a hub, which Hub.mu guards.

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
// forgotten: to be in a topic whose name the table knows is one step. Like all that
// changes the users of a topic it is called under the topic's order.
func (h *Hub) add(t *Topic, m *Member, name, key string) (added bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.topics[t.name] != t {
		return false, nil
	}
	if err := h.mayJoin(t.name, name, key); err != nil {
		return false, err // others of the same user were quicker, elsewhere
	}
	if t.conns[m.conn] != nil {
		return false, errJoined
	}
	u := t.users[key]
	if u == nil {
		u = &user{topic: t, name: name, key: key}
		t.users[key] = u
	}
	h.stay(u)
	m.user = u
	u.add(m)
	if len(u.members) == 1 {
		h.place(name, 1)
	}
	return true, nil
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

// remove takes m out of the table. left is false if it was not there any more. went
// says that the user has gone with it; with grace, a user that LeaveGrace keeps has not.
// others says that the topic has other members, and count is how many users it has.
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
	case len(t.conns) == 0 && !h.roomy():
		for _, u := range t.users { // the others have left before
			h.stay(u)
			h.forget(u)
		}
		went = true
	default:
		h.keep(u)
	}
	return true, went, len(t.conns) > 0, len(t.users)
}

// roomy reports whether a topic without members may stay in use for LeaveGrace: a user
// that rushes through topics takes up half of MaxTopics at most. It is called under mu.
func (h *Hub) roomy() bool { return h.MaxTopics <= 0 || len(h.topics) <= h.MaxTopics/2 }

// forget takes a user without members out of the table, and the topic with its
// last user. It is called under mu and the topic's order.
func (h *Hub) forget(u *user) {
	delete(u.topic.users, u.key)
	h.vacate(u.topic)
}

// vacateIfEmpty ends a topic that find has made and nobody has joined. It is called under the
// topic's order.
func (h *Hub) vacateIfEmpty(t *Topic) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.topics[t.name] == t {
		h.vacate(t)
	}
}

// leavingLast reports whether a user goes from the topic when m leaves, and others stay: count
// is how many. It is called under the topic's order.
func (h *Hub) leavingLast(m *Member) (count int, last bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	count = len(m.user.topic.users) - 1
	return count, m.place != gone && len(m.user.members) == 1 && h.LeaveGrace <= 0 && count > 0
}

// vacate takes a topic without users out of the table, as forget does.
func (h *Hub) vacate(t *Topic) {
	if len(t.users) == 0 {
		t.forgotten.Store(true)
		delete(h.topics, t.name)
	}
}
