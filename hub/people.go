//go:build linux

package hub

import (
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/usher-ws/usher/server"
)

// This file is what callers that are no members ask about topics and the people in them, and
// what they have done with these.

// TopicInfo is a topic as Hub.Topics tells of it.
type TopicInfo struct {
	Name     string
	Users    int  // those that LeaveGrace keeps included
	Conns    int  // members
	Retained bool // it has a retained value; without users that is all there is of it
}

// Topics returns the topics that are in use, and those that have a retained value, sorted by
// name. It takes the hub's lock for as long as it goes through them, about 0.1 µs for each.
func (h *Hub) Topics() []TopicInfo {
	h.mu.Lock()
	all := make([]TopicInfo, 0, len(h.topics)+len(h.retained))
	for name, t := range h.topics {
		all = append(all, TopicInfo{name, t.users.Len(), t.conns.Len(), h.retained[name] != nil})
	}
	for name := range h.retained {
		if h.topics[name] == nil {
			all = append(all, TopicInfo{Name: name, Retained: true})
		}
	}
	h.mu.Unlock()
	slices.SortFunc(all, func(a, b TopicInfo) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Topic returns the topic of a name, nil if it is not in use.
func (h *Hub) Topic(name string) *Topic {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.topics[name]
}

// JoinUser makes all connections that the user has on s members of the topic, by
// Identity.Subject, and returns how many are in it now, those that were before included: none
// if the user has no connection, and then no topic is made. Connections that come later are not
// included. Each hears the dialect that Hub.DialectOf says, and what a member that joins hears.
//
// The errors are those of Join, of the first connection that could not join; server.ErrOnLoop in a
// callback, as it waits for the connections' loops; and that of ctx if it is over before all loops
// have answered, as a callback may hold one up: then n are in the topic, and of the others those
// do not join any more whose turn has not come. A connection that ends meanwhile is no error.
// Safe for any other goroutine.
func (h *Hub) JoinUser(ctx context.Context, topic, user string, s *server.Server) (int, error) {
	var mu sync.Mutex // guards what follows: the loops do not wait for one another
	var n int
	var failed error
	waited := s.EachOf(ctx, user, func(c server.Conn) {
		dialect := 0
		if h.DialectOf != nil {
			var ok bool
			if dialect, ok = h.DialectOf(c); !ok {
				return
			}
		}
		_, err := h.JoinAs(topic, user, dialect, c)
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err == nil || errors.Is(err, errJoined):
			n++
		case failed == nil && !errors.Is(err, net.ErrClosed):
			failed = err
		}
	})
	mu.Lock()
	defer mu.Unlock()
	return n, both(waited, failed)
}

// LeaveUser takes all connections that the user has in the topic out of it, at once:
// Hub.LeaveGrace, which is for users that may come back, does not keep the user. It returns how
// many there were. A connection that is not closed may join again, and one that joins meanwhile
// stays. The user is found by any name with the same Hub.Key, as by Direct.
func (h *Hub) LeaveUser(topic, user string) (n int) {
	t := h.Topic(topic)
	if t == nil {
		return 0
	}
	for _, m := range t.membersOf(user) {
		if left, _ := t.leave(&m, false); left {
			n++
		}
	}
	return n
}

// TopicUser is a user in a topic, as Topic.Users tells of it.
type TopicUser struct {
	Name   string
	Status string // what SetStatus said last, or ""
	Conns  int    // connections in the topic; 0 while LeaveGrace keeps the user
}

// Users returns, sorted by name, the first users of the topic whose names come after a name, at
// most so many, and how many users there are in all. So a caller gets all of them in parts, each
// behind the last name of the part before; "" is where to begin. Each call looks at all users
// under the hub's lock, about 0.1 µs for each.
func (t *Topic) Users(after string, most int) (some []TopicUser, total int) {
	t.hub.mu.Lock()
	defer t.hub.mu.Unlock()
	s := &t.hub.seats
	if total = t.users.Len(); most <= 0 {
		return nil, total
	}
	var first []uint32 // seats, by their users' names
	byName := func(i uint32, name []byte) int { return bytes.Compare(s.nameOf(i), name) }
	for i := range t.users.All((*byUser)(s), 0) {
		name := s.nameOf(i)
		if string(name) <= after || len(first) == most && byName(first[most-1], name) < 0 {
			continue
		}
		at, _ := slices.BinarySearchFunc(first, name, byName)
		first = slices.Insert(first[:min(len(first), most-1)], at, i)
	}
	some = make([]TopicUser, len(first))
	for k, i := range first {
		name := s.At(i).name
		some[k] = TopicUser{Name: string(s.names.name(name)), Status: string(s.status(t, name))}
		if s.isTaken(i) {
			for range s.beside(i) {
				some[k].Conns++
			}
		}
	}
	return some, total
}

// membersOf returns the members that a user has in the topic.
func (t *Topic) membersOf(name string) (all []Member) {
	key, s := t.hub.key(name), &t.hub.seats
	t.hub.mu.Lock()
	defer t.hub.mu.Unlock()
	first := s.ofUser(t, key)
	if !s.isTaken(first) {
		return nil
	}
	name = string(s.nameOf(first))
	for i := range s.beside(first) {
		e := s.At(i)
		all = append(all, Member{topic: t, user: name, conn: e.conn.Conn(t.server), dialect: int32(e.dialect), join: e.join})
	}
	return all
}
