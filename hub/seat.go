//go:build linux

package hub

import (
	"hash/maphash"
	"iter"
	"unsafe"

	"github.com/usher-ws/usher/internal/compact"
	"github.com/usher-ws/usher/server"
)

// seats are the members of all topics, without a pointer: a million of them give the garbage
// collector nothing to do. Hub.mu guards them. A topic has two indexes of its seats: by
// connection, and by user, where a user with several has one of them.
type seats struct {
	compact.Slab[seat]
	names    names
	statuses compact.Strings[struct{}]
	text     int             // bytes of all statuses
	rings    map[uint32]ring // by seat: those of users with more than one in their topic
	joins    uint32          // how many there were
}

// seat is one connection of a user in a topic, or the place of a user without one, which
// Hub.LeaveGrace keeps. It takes 28 bytes.
type seat struct {
	conn    server.ConnKey // zero: there is none
	dialect uint16
	name    uint32 // in seats.names
	join    uint32 // its number among all joins: a connection may leave a topic and join again
	byConn  uint32 // links in the indexes
	byUser  uint32
}

// ring ties the seats of a user in a topic together.
type ring struct {
	next, prev uint32
	isListed   bool // in the topic's index by user
}

// size is what is in the tables: a seat, its places in two indexes and in its Group; a name; what
// few have.
func (s *seats) size() int {
	const seatSize, nameSize = int(unsafe.Sizeof(seat{})) + 2*2 + 4, 9 + int(unsafe.Sizeof(nameUse{})) + 2
	const statusSize, ringSize = 9 + 16, 2 * int(unsafe.Sizeof(ring{}))
	return s.Len()*seatSize + s.names.text + s.names.Len()*nameSize + s.text + s.statuses.Len()*statusSize + len(s.rings)*ringSize
}

// byConn and byUser are seats for the indexes of a topic.
type (
	byConn seats
	byUser seats
)

func (s *byConn) Hash(i uint32) uint64  { return hashConn(s.At(i).conn) }
func (s *byConn) Link(i uint32) *uint32 { return &s.At(i).byConn }

func (s *byUser) Hash(i uint32) uint64 {
	return maphash.Bytes(seed, s.names.key(s.At(i).name))
}
func (s *byUser) Link(i uint32) *uint32 { return &s.At(i).byUser }

func hashConn(k server.ConnKey) uint64 { return maphash.Bytes(seed, k[:]) }

// ofConn returns the seat of a connection in a topic, 0 if it has none.
func (s *seats) ofConn(t *Topic, c server.ConnKey) uint32 {
	i := t.conns.First(hashConn(c))
	for i != 0 && s.At(i).conn != c {
		i = s.At(i).byConn
	}
	return i
}

// ofUser returns a seat of the user with a key in a topic, 0 if there is no such user.
func (s *seats) ofUser(t *Topic, key string) uint32 {
	i := t.users.First(maphash.String(seed, key))
	for i != 0 && string(s.names.key(s.At(i).name)) != key {
		i = s.At(i).byUser
	}
	return i
}

// nameOf returns the name of the user of a seat, valid for good and not to be changed.
func (s *seats) nameOf(i uint32) []byte { return s.names.name(s.At(i).name) }

// isTaken reports whether a seat has a connection. Seat 0 has none.
func (s *seats) isTaken(i uint32) bool { return i != 0 && s.At(i).conn != server.ConnKey{} }

// beside yields a seat and all others of its user in the topic.
func (s *seats) beside(i uint32) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for k := i; yield(k); {
			r, more := s.rings[k]
			if k = r.next; !more || k == i {
				return
			}
		}
	}
}

// take gives a user that is not in the topic a seat.
func (s *seats) take(t *Topic, name, key string) uint32 {
	i := s.Take()
	s.At(i).name = s.names.use(name, key)
	t.users.Add((*byUser)(s), i)
	return i
}

// takeBeside gives the user of a seat another one in the same topic.
func (s *seats) takeBeside(old uint32) uint32 {
	i := s.Take()
	s.At(i).name = s.At(old).name
	if s.rings == nil {
		s.rings = make(map[uint32]ring)
	}
	r, ok := s.rings[old]
	if !ok {
		r = ring{old, old, true}
		s.rings[old] = r
	}
	s.rings[i] = ring{}
	s.tie(i, r.next)
	s.tie(old, i)
	return i
}

// tie makes b the seat behind a in their ring.
func (s *seats) tie(a, b uint32) {
	r := s.rings[a]
	r.next = b
	s.rings[a] = r
	r = s.rings[b]
	r.prev = a
	s.rings[b] = r
}

// giveBeside takes a seat back if its user has others in the topic, and reports whether that
// is so.
func (s *seats) giveBeside(t *Topic, i uint32) bool {
	r, ok := s.rings[i]
	if !ok {
		return false
	}
	delete(s.rings, i)
	if r.isListed {
		t.users.Remove((*byUser)(s), i)
		t.users.Add((*byUser)(s), r.next)
	}
	if r.next == r.prev {
		delete(s.rings, r.next)
	} else {
		s.tie(r.prev, r.next)
		next := s.rings[r.next]
		next.isListed = next.isListed || r.isListed
		s.rings[r.next] = next
	}
	if len(s.rings) == 0 {
		s.rings = nil // the map would keep its memory
	}
	s.Put(i)
	return true
}

// give takes back the only seat of a user, who is then no longer in the topic.
func (s *seats) give(t *Topic, i uint32) {
	name := s.At(i).name
	s.setStatus(t, name, "")
	t.users.Remove((*byUser)(s), i)
	s.Put(i)
	s.names.drop(name)
}

// sitDown puts a connection on a seat that has none.
func (s *seats) sitDown(t *Topic, i uint32, c server.ConnKey, dialect int32) (join uint32) {
	s.joins++
	e := s.At(i)
	e.conn, e.dialect, e.join = c, uint16(dialect), s.joins
	t.conns.Add((*byConn)(s), i)
	return e.join
}

// getUp ends what sitDown began.
func (s *seats) getUp(t *Topic, i uint32) {
	t.conns.Remove((*byConn)(s), i)
	s.At(i).conn = server.ConnKey{}
}

// setStatus sets the status of a user in a topic; "" is none.
func (s *seats) setStatus(t *Topic, name uint32, status string) {
	if old, ok := t.statuses[name]; ok {
		s.text -= len(s.statuses.Bytes(old))
		s.statuses.Delete(old)
		if delete(t.statuses, name); len(t.statuses) == 0 {
			t.statuses = nil
		}
	}
	if status == "" {
		return
	}
	if t.statuses == nil {
		t.statuses = make(map[uint32]uint32)
	}
	t.statuses[name] = s.statuses.Add([]byte(status))
	s.text += len(status)
}

// status returns the status of a user in a topic, valid for good and not to be changed.
func (s *seats) status(t *Topic, name uint32) []byte {
	if i, ok := t.statuses[name]; ok {
		return s.statuses.Bytes(i)
	}
	return nil
}
