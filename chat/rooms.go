//go:build linux

package chat

import (
	"errors"
	"slices"
	"sync"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

// MaxRooms is how many rooms can be in use at once when Config.Rooms names
// none.
const MaxRooms = 10_000

// Why there is no such room, for now or at all.
var (
	errRoomUnknown = errors.New("chat: no such room")
	errRoomsFull   = errors.New("chat: too many rooms in use")
)

// peer is one connection, as far as the rooms know it: a [server.Conn].
type peer interface {
	Send(op frame.Opcode, b []byte) error
}

// crowd is all connections of a room: a [server.Group].
type crowd interface {
	Join(c server.Conn) error
	Send(op frame.Opcode, b []byte) error
}

// rooms is the table of who is where. A room is in it while it has members: it
// comes with the first and is forgotten with the last, both under mu, so that
// nobody can be in a room that is not in the table.
type rooms struct {
	listed   map[string]bool // nil: any well-formed name
	newCrowd func() crowd

	mu   sync.Mutex // guards all below, and what it says it guards
	live map[string]*room
}

// room is where members hear each other.
type room struct {
	name  string
	crowd crowd
	users map[string]*user // by name; guarded by rooms.mu
}

// user is somebody in a room, with one member for each of their connections.
// Guarded by rooms.mu.
type user struct {
	status  string
	members []*member
}

// member is one connection in one room. It does not change but for its place.
type member struct {
	peer  peer
	name  string
	room  *room
	place int // in its user's members, -1 when it has left; guarded by rooms.mu
}

// newRooms returns an empty table; newCrowd makes the crowd of a new room.
func newRooms(names []string, newCrowd func() crowd) *rooms {
	t := &rooms{newCrowd: newCrowd, live: make(map[string]*room)}
	if len(names) > 0 {
		t.listed = make(map[string]bool, len(names))
		for _, name := range names {
			t.listed[name] = true
		}
	}
	return t
}

// knows reports whether a room of this name can exist.
func (t *rooms) knows(name string) bool {
	if t.listed != nil {
		return t.listed[name]
	}
	return ValidRoom(name)
}

// open reports whether the room could be joined now. It makes nothing.
func (t *rooms) open(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.hasPlace(name)
}

// hasPlace reports whether the room is in use, or one more may be. Under mu.
func (t *rooms) hasPlace(name string) bool {
	return t.live[name] != nil || t.listed != nil || len(t.live) < MaxRooms
}

// join makes p a member of the room as the user called name, and makes the room
// if it is the first.
func (t *rooms) join(p peer, roomName, name string) (*member, error) {
	if !t.knows(roomName) {
		return nil, errRoomUnknown
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.hasPlace(roomName) {
		return nil, errRoomsFull
	}
	r := t.live[roomName]
	if r == nil {
		r = &room{name: roomName, crowd: t.newCrowd(), users: make(map[string]*user)}
		t.live[roomName] = r
	}
	u := r.users[name]
	if u == nil {
		u = new(user)
		r.users[name] = u
	}
	m := &member{peer: p, name: name, room: r, place: len(u.members)}
	u.members = append(u.members, m)
	return m, nil
}

// leave takes m out of its room, and forgets the user with their last member and
// the room with its last user. It reports whether there is anybody to tell:
// not when m had left before.
func (t *rooms) leave(m *member) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m.place < 0 {
		return false
	}
	u := m.room.users[m.name]
	last := len(u.members) - 1
	u.members[m.place] = u.members[last]
	u.members[m.place].place = m.place
	u.members[last] = nil
	u.members = u.members[:last]
	m.place = -1
	if last == 0 {
		delete(m.room.users, m.name)
	}
	if len(m.room.users) == 0 {
		delete(t.live, m.room.name)
		return false
	}
	return true
}

// find returns the connections of the user called name in m's room.
func (t *rooms) find(m *member, name string) []peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	u := m.room.users[name]
	if u == nil {
		return nil
	}
	peers := make([]peer, len(u.members))
	for i, other := range u.members {
		peers[i] = other.peer
	}
	return peers
}

// setStatus keeps what the user of m says of themselves, until they leave the
// room; "" is nothing.
func (t *rooms) setStatus(m *member, status string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m.place >= 0 {
		m.room.users[m.name].status = status
	}
}

// presence is a user as others see them.
type presence struct{ name, status string }

// who returns up to limit users of m's room, sorted by name, and how many there
// are in all. In a room with more than limit it is anybody's guess which.
func (t *rooms) who(m *member, limit int) (some []presence, total int) {
	t.mu.Lock()
	total = len(m.room.users)
	some = make([]presence, 0, min(total, limit))
	for name, u := range m.room.users {
		if len(some) == limit {
			break
		}
		some = append(some, presence{name, u.status})
	}
	t.mu.Unlock()
	slices.SortFunc(some, func(a, b presence) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return some, total
}
