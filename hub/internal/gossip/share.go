package gossip

// share is what another node has in a topic.
type share struct {
	node         *node
	version      uint64
	joined, left uint64
	users        map[string]string // statuses by name; nil if it is counted
	isCounted    bool
	isPoor       bool // it is counted only for want of room
	bytes        int
	asked        uint64 // the beat at which it was asked for
	emptied      uint64 // the beat at which it had nobody
	isDropped    bool   // it had nobody for a while
}

const (
	shareSize = 120 // of a share
	nameSize  = 150 // of a name in it, besides its bytes: its places in two tables
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

// put makes a user one of a share, or gives it another status.
func (v *View) put(t *Topic, s *share, u user) {
	old, had := s.users[u.name]
	if s.users == nil {
		s.users = make(map[string]string)
	}
	s.users[u.name] = u.status
	v.grow(s, len(u.status)-len(old))
	if had {
		return
	}
	v.grow(s, nameSize+len(u.name))
	o, known := t.others[u.name]
	if o.nodes++; !known {
		o.key = u.key
		if t.others == nil {
			t.others = make(map[string]other)
		}
		if v.Keyed {
			if t.byKey == nil {
				t.byKey = make(map[string]int32)
			}
			t.byKey[u.key]++
		}
		if v.Local.Has(t.name, u.name, u.key) {
			t.overlap++
		}
	}
	t.others[u.name] = o
}

// take ends what put began.
func (v *View) take(t *Topic, s *share, name string) {
	status, had := s.users[name]
	if !had {
		return
	}
	delete(s.users, name)
	v.grow(s, -nameSize-len(name)-len(status))
	o := t.others[name]
	if o.nodes--; o.nodes > 0 {
		t.others[name] = o
		return
	}
	delete(t.others, name)
	if len(t.others) == 0 {
		t.others = nil // the map would keep its memory
	}
	if v.Keyed {
		if t.byKey[o.key]--; t.byKey[o.key] == 0 {
			delete(t.byKey, o.key)
		}
	}
	if v.Local.Has(t.name, name, o.key) {
		t.overlap--
	}
}

func (v *View) grow(s *share, n int) {
	s.bytes += n
	v.bytes += n
}

// clearUsers takes all users out of a share.
func (v *View) clearUsers(t *Topic, s *share) {
	for name := range s.users {
		v.take(t, s, name)
	}
	s.users = nil
}

// isRoomFor reports whether so many more users of other nodes may be known by name, with so many
// bytes of names and statuses. They are instead of those of a share, if there is one.
func (v *View) isRoomFor(t *Topic, names, text int, instead *share) bool {
	bytes := names*nameSize + text
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
