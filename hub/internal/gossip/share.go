package gossip

import (
	"slices"
	"strings"
)

// share is what another node has in a topic.
type share struct {
	node         *node
	version      uint64
	joined, left uint64
	users        []user // sorted by key and name; nil if it is counted
	isCounted    bool
	isPoor       bool // it is counted only for want of room
	bytes        int
	asked        uint64 // the beat at which it was asked for
	emptied      uint64 // the beat at which it had nobody
	isDropped    bool   // it had nobody for a while
}

const (
	shareSize = 150 // of a share
	nameSize  = 90  // of a user in it, besides the bytes of names and statuses
)

// counted returns how many users are known only by their number.
func (s *share) counted() int {
	if !s.isCounted {
		return 0
	}
	return int(s.joined - s.left)
}

// isEmpty reports whether there is nothing in it but a version.
func (s *share) isEmpty() bool { return s.counted() == 0 && len(s.users) == 0 }

// shareOf returns what a node has in the topic, nil if nothing is known of that.
func (t *Topic) shareOf(n *node) *share {
	for _, s := range t.shares {
		if s.node == n {
			return s
		}
	}
	return nil
}

// newShare takes note of a node in the topic.
func (v *View) newShare(t *Topic, n *node) *share {
	s := &share{node: n, bytes: shareSize}
	v.bytes += s.bytes
	t.shares = append(t.shares, s)
	return s
}

// compare orders users as shares do.
func (u user) compare(other user) int {
	if c := strings.Compare(u.key, other.key); c != 0 {
		return c
	}
	return strings.Compare(u.name, other.name)
}

// size is what a user takes in a share.
func (u user) size() int {
	n := nameSize + len(u.name) + len(u.status)
	if u.key != u.name {
		n += len(u.key)
	}
	return n
}

// find returns where in a share a user is, or would be.
func (s *share) find(u user) (i int, has bool) {
	return slices.BinarySearchFunc(s.users, u, user.compare)
}

// nodesOf returns how many other nodes have a user.
func (t *Topic) nodesOf(u user) (n int) {
	for _, s := range t.shares {
		if _, has := s.find(u); has {
			n++
		}
	}
	return n
}

// put makes a user one of a share, or gives it another status.
func (v *View) put(t *Topic, s *share, u user) {
	i, had := s.find(u)
	if had {
		v.grow(s, u.size()-s.users[i].size())
		s.users[i] = u
		return
	}
	if t.nodesOf(u) == 0 {
		t.names++
		if v.Local.Has(t.name, u.name, u.key) {
			t.overlap++
		}
	}
	s.users = slices.Insert(s.users, i, u)
	v.grow(s, u.size())
}

// take ends what put began.
func (v *View) take(t *Topic, s *share, u user) {
	i, had := s.find(u)
	if !had {
		return
	}
	v.grow(s, -s.users[i].size())
	s.users = slices.Delete(s.users, i, i+1)
	if room := cap(s.users); room > 16 && len(s.users) < room/4 {
		s.users = slices.Clone(s.users)
	}
	if t.nodesOf(u) > 0 {
		return
	}
	t.names--
	if v.Local.Has(t.name, u.name, u.key) {
		t.overlap--
	}
}

func (v *View) grow(s *share, n int) {
	s.bytes += n
	v.bytes += n
}

// clearUsers takes all users out of a share.
func (v *View) clearUsers(t *Topic, s *share) {
	for n := len(s.users); n > 0; n = len(s.users) {
		v.take(t, s, s.users[n-1])
	}
	s.users = nil
}

// isRoomFor reports whether so many more users of other nodes may be known by name, that take so
// many bytes. They are instead of those of a share, if there is one.
func (v *View) isRoomFor(t *Topic, names, bytes int, instead *share) bool {
	if instead != nil {
		bytes -= instead.bytes - shareSize
	}
	if bytes <= 0 {
		return true
	}
	for _, s := range t.shares {
		if s != instead {
			names += len(s.users)
		}
	}
	return v.bytes+bytes <= v.MaxBytes && names <= 2*v.MaxNames
}
