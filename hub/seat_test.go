//go:build linux

package hub

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

// person is a user in a topic, as the model of TestAtRandom has it.
type person struct {
	name, status string
	conns        map[server.Conn]*Member
}

// model is what a hub should say, by topic and key.
type model map[string]map[string]*person

// places returns in how many topics a user has connections.
func (m model) places(name string) (n int) {
	for _, people := range m {
		if p := people[strings.ToLower(name)]; p != nil && p.name == name && len(p.conns) > 0 {
			n++
		}
	}
	return n
}

// mayJoin returns the error of a join.
func (m model) mayJoin(h *Hub, topic, name string, c server.Conn) error {
	p := m[topic][strings.ToLower(name)]
	switch {
	case p != nil && p.name != name:
		return ErrNameTaken
	case (p == nil || len(p.conns) == 0) && m.places(name) >= h.MaxTopicsPerUser:
		return ErrTooManyOfUser
	case m.of(topic, c) != nil:
		return errJoined
	}
	return nil
}

// of returns who a connection is in a topic.
func (m model) of(topic string, c server.Conn) *person {
	for _, p := range m[topic] {
		if p.conns[c] != nil {
			return p
		}
	}
	return nil
}

// members returns how many members a topic has.
func (m model) members(topic string) (n int) {
	for _, p := range m[topic] {
		n += len(p.conns)
	}
	return n
}

// leave takes a connection out, and its user unless there is a grace.
func (m model) leave(h *Hub, topic string, c server.Conn) {
	p := m.of(topic, c)
	if delete(p.conns, c); len(p.conns) == 0 && h.LeaveGrace == 0 {
		delete(m[topic], strings.ToLower(p.name))
	}
}

// TestAtRandom: whatever connections, users and topics do, the tables have what maps would.
func TestAtRandom(t *testing.T) {
	for _, grace := range []time.Duration{0, time.Hour} {
		t.Run(fmt.Sprint("grace ", grace), func(t *testing.T) { doAtRandom(t, grace) })
	}
}

func doAtRandom(t *testing.T, grace time.Duration) {
	home := serve(t, &Hub{Dialects: 2, Key: strings.ToLower, MaxTopicsPerUser: 2, LeaveGrace: grace})
	topics, names := []string{"a", "b", "c"}, []string{"ann", "Ann", "bob", "cy", "eve"}
	m := model{}
	for _, topic := range topics {
		m[topic] = map[string]*person{}
	}
	var clients []client
	for range 8 {
		clients = append(clients, home.dial())
	}
	var handles []*Member // also of those that have left
	rng := rand.New(rand.NewPCG(1, uint64(grace)))
	for step := range 6000 {
		topic, name, k := topics[rng.IntN(len(topics))], names[rng.IntN(len(names))], rng.IntN(len(clients))
		c := clients[k]
		switch what := rng.IntN(100); {
		case what < 45:
			want := m.mayJoin(home.Hub, topic, name, c.Conn)
			joined, err := home.JoinAs(topic, name, step%2, c.Conn)
			if !errors.Is(err, want) {
				t.Fatalf("step %d: %s joins %s: got %v, want %v", step, name, topic, err, want)
			}
			if err != nil {
				break
			}
			handles = append(handles, joined)
			key := strings.ToLower(name)
			if m[topic][key] == nil {
				m[topic][key] = &person{name: name, conns: map[server.Conn]*Member{}}
			}
			m[topic][key].conns[c.Conn] = joined
		case what < 80 && len(handles) > 0:
			left := handles[rng.IntN(len(handles))]
			others := false
			if p := m.of(left.Topic().Name(), left.Conn()); p != nil && p.conns[left.Conn()] == left {
				m.leave(home.Hub, left.Topic().Name(), left.Conn())
				others = m.members(left.Topic().Name()) > 0
			}
			if got := left.Leave(); got != others {
				t.Fatalf("step %d: Leave: got %v, want %v", step, got, others)
			}
		case what < 95 && len(handles) > 0:
			says, status := handles[rng.IntN(len(handles))], strings.Repeat("!", rng.IntN(3))
			if p := m.of(says.Topic().Name(), says.Conn()); p != nil && p.conns[says.Conn()] == says {
				p.status = status
			}
			says.SetStatus(status)
		case what == 99:
			home.vanish(c, topics...)
			for _, topic := range topics {
				if m.of(topic, c.Conn) != nil {
					m.leave(home.Hub, topic, c.Conn)
				}
			}
			clients[k] = home.dial()
		}
		m.check(t, step, home.Hub, topic, name, clients[k])
	}
	for _, left := range handles {
		left.Leave()
	}
	if n := home.seats.Size(); grace == 0 && n != 0 {
		t.Errorf("an empty hub takes %d bytes", n)
	}
}

// check compares what the hub says of a topic, a name and a connection.
func (m model) check(t *testing.T, step int, h *Hub, topic, name string, c client) {
	t.Helper()
	got := h.Member(topic, c.Conn)
	p := m.of(topic, c.Conn)
	if (got == nil) != (p == nil) || got != nil && *got != *p.conns[c.Conn] {
		t.Fatalf("step %d: the member is %v, want one of %v", step, got, p)
	}
	if got == nil {
		return
	}
	var want []Presence
	for _, p := range m[topic] {
		want = append(want, Presence{p.name, p.status})
	}
	slices.SortFunc(want, func(a, b Presence) int { return strings.Compare(a.User, b.User) })
	if some, total := got.Topic().Presence(100); !slices.Equal(some, want) || total != len(want) {
		t.Fatalf("step %d: present are %v, want %v", step, some, want)
	}
	n, err := got.Topic().Direct(name, frame.OpBinary, []byte("hi"))
	switch p := m[topic][strings.ToLower(name)]; {
	case p == nil:
		if n != 0 || err != nil {
			t.Fatalf("step %d: Direct to nobody: %d, %v", step, n, err)
		}
	case n != len(p.conns) || errors.Is(err, ErrAway) != (n == 0):
		t.Fatalf("step %d: Direct to %v: %d, %v", step, slices.Collect(maps.Keys(p.conns)), n, err)
	}
}

// TestBytesOfMembers: what a member takes, whose name is user-123456, the indexes included.
func TestBytesOfMembers(t *testing.T) {
	const n, most = 100_000, 68
	h := new(Hub)
	lobby := newTopic(h, "lobby")
	seatUsers(lobby, n)
	if each := (h.seats.Size() + lobby.users.Size() + lobby.conns.Size()) / n; each > most {
		t.Errorf("got %d bytes, want %d at most", each, most)
	}
}

// TestManyOfOneUser: connections of one user leave in any order, each in a few steps.
func TestManyOfOneUser(t *testing.T) {
	h := new(Hub)
	lobby := newTopic(h, "lobby")
	s := &h.seats
	seatUsers(lobby, 1)
	first := s.ofUser(lobby, "user-0")
	all := []uint32{first}
	for k := 1; k < 100_000; k++ {
		i := s.takeBeside(first)
		s.sitDown(lobby, i, keyOf(k), 0)
		all = append(all, i)
	}
	rand.Shuffle(len(all), func(a, b int) { all[a], all[b] = all[b], all[a] })
	for left := len(all); left > 0; left-- {
		i := s.ofUser(lobby, "user-0")
		if lobby.users.Len() != 1 || !s.isTaken(i) {
			t.Fatalf("%d are left, and there are %d users; seat %d is found", left, lobby.users.Len(), i)
		}
		if left%20_000 == 0 || left == 1 {
			if n := len(slices.Collect(s.beside(i))); n != left {
				t.Fatalf("%d seats are beside each other, want %d", n, left)
			}
		}
		s.getUp(lobby, all[left-1])
		if more := s.giveBeside(lobby, all[left-1]); more != (left > 1) {
			t.Fatalf("%d were left: got %v", left, more)
		}
	}
	s.give(lobby, s.ofUser(lobby, "user-0"))
	if s.Size()+lobby.users.Size()+lobby.conns.Size() != 0 || s.rings != nil || h.seats.names.Len() != 0 {
		t.Errorf("in the end it takes %d bytes", s.Size())
	}
}

// Size returns the bytes that the tables take, but for the indexes of the topics.
func (s *seats) Size() int {
	const ringSize = 24 // in a map
	return s.Slab.Size() + s.names.Size() + s.names.index.Size() + s.statuses.Size() + ringSize*len(s.rings)
}
