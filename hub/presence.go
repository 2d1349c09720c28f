//go:build linux

package hub

import (
	"container/list"
	"slices"
	"strings"
	"time"
)

// Presence is a user in a topic as others see them.
type Presence struct {
	User   string
	Status string // what SetStatus said last, or ""
}

// Presence returns up to most users of the topic, sorted by name, and how many there are
// in all. If there are more, the choice is arbitrary. Presence(0) only counts.
func (t *Topic) Presence(most int) (some []Presence, total int) {
	some, total = t.sample(most)
	slices.SortFunc(some, func(a, b Presence) int { return strings.Compare(a.User, b.User) })
	return some, total
}

// User returns the name of the user in the topic that a name stands for: the same name,
// or one with the same Hub.Key.
func (t *Topic) User(name string) (user string, here bool) {
	key := t.hub.key(name)
	t.hub.mu.Lock()
	defer t.hub.mu.Unlock()
	if u := t.users[key]; u != nil {
		return u.name, true
	}
	return "", false
}

// sample is Presence, not sorted.
func (t *Topic) sample(most int) (some []Presence, total int) {
	t.hub.mu.Lock()
	defer t.hub.mu.Unlock()
	total = len(t.users)
	most = max(0, min(total, most))
	some = make([]Presence, 0, most)
	for _, u := range t.users {
		if len(some) == most {
			break
		}
		some = append(some, Presence{u.name, u.status})
	}
	return some, total
}

// user is somebody in a topic, with a member for each of their connections. Hub.mu guards
// all but the topic, the name and its key, which do not change.
type user struct {
	topic   *Topic
	name    string
	key     string // Hub.Key of name
	status  string
	members []*Member

	// Without members, what is left of Hub.LeaveGrace.
	waiting *list.Element // in Hub.leaving, or nil
	until   time.Time
}

// add gives m the last place.
func (u *user) add(m *Member) {
	m.place = int32(len(u.members))
	u.members = append(u.members, m)
	u.topic.conns[m.conn] = m
}

// remove gives m's place to the last, so that a user's many connections can all
// leave in linear time.
func (u *user) remove(m *Member) {
	last := len(u.members) - 1
	moved := u.members[last]
	u.members[m.place], moved.place = moved, m.place
	u.members[last] = nil
	u.members = u.members[:last]
	m.place = gone
	delete(u.topic.conns, m.conn)
}
