//go:build linux

package hub

import (
	"math/rand/v2"
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
// in all. If there are more, the choice is arbitrary. Presence(0) only counts. Users at other
// hubs are among them as far as is known, see Silent; of a large topic's only the number is.
func (t *Topic) Presence(most int) (some []Presence, total int) {
	some, total = t.sample(most)
	slices.SortFunc(some, func(a, b Presence) int { return strings.Compare(a.User, b.User) })
	return some, total
}

// User returns the name of the user in the topic that a name stands for: the same name,
// or one with the same Hub.Key. Users at other hubs are found as far as their names are known: of a
// large topic [Topic.DirectEverywhere] knows by itself who has which name exactly.
func (t *Topic) User(name string) (user string, here bool) {
	key := t.hub.key(name)
	t.hub.mu.Lock()
	defer t.hub.mu.Unlock()
	i := t.hub.seats.ofUser(t, key)
	switch {
	case i == 0 && t.far == nil:
		return "", false
	case i == 0 && t.far.Has(name, key):
		return name, true
	case i == 0:
		return t.far.NameOf(key)
	}
	if b := t.hub.seats.nameOf(i); string(b) != name {
		name = string(b)
	}
	return name, true
}

// Silent returns the names of the nodes whose users in the topic are not known yet, or have not
// been confirmed for some seconds. A node that stays silent is gone then, and its users with it.
func (t *Topic) Silent() []string {
	h, now := t.hub, time.Since(began)
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.far == nil {
		return nil
	}
	return h.cluster.view.Silent(t.far, now)
}

// sample is Presence, not sorted.
func (t *Topic) sample(most int) (some []Presence, total int) {
	t.hub.mu.Lock()
	defer t.hub.mu.Unlock()
	total = t.count()
	most = max(0, min(total, most))
	some = make([]Presence, 0, most)
	if most == 0 {
		return some, total
	}
	s := &t.hub.seats
	for i := range t.users.All((*byUser)(s), rand.Uint32()) {
		name := s.At(i).name
		some = append(some, Presence{string(s.names.name(name)), string(s.status(t, name))})
		if len(some) == most {
			return some, total
		}
	}
	if t.far != nil {
		for name, status := range t.far.Users(&t.hub.cluster.view) {
			if some = append(some, Presence{name, status}); len(some) == most {
				break
			}
		}
	}
	return some, total
}
