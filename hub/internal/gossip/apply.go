package gossip

import "slices"

// Effect is what members of a topic hear of a change: a user that came or went, or how many did.
type Effect struct {
	User         string // "" with any numbers
	Joined, Left int
	IsNews       bool // there are others than was known, and nothing is known of when they came
}

// Effect returns what a change means now, before it is applied: nothing, if the user is in the
// topic elsewhere or here.
func (v *View) Effect(c *Change) (e Effect) {
	t, s := c.topic, c.share
	if t.ended {
		return Effect{}
	}
	_, has := s.find(c.user)
	switch c.kind {
	case came:
		if !has && t.nodesOf(c.user) == 0 && !v.Local.Has(t.name, c.user.name, c.user.key) {
			e = Effect{User: c.user.name, Joined: 1}
		}
	case went:
		if has && t.nodesOf(c.user) == 1 && !v.Local.Has(t.name, c.user.name, c.user.key) {
			e = Effect{User: c.user.name, Left: 1}
		}
	case recount, removal:
		e = Effect{Joined: c.joined, Left: c.left, IsNews: c.isNews}
	}
	return e
}

// Apply makes a change.
func (v *View) Apply(c *Change) {
	t, s := c.topic, c.share
	if t.ended {
		return
	}
	if s.isDropped { // before this change, of which it had been told already, could be made
		s.isDropped = false
		v.bytes += s.bytes
		t.shares = append(t.shares, s)
	}
	switch c.kind {
	case came:
		v.put(t, s, c.user)
	case went:
		v.take(t, s, c.user)
	case status:
		if _, has := s.find(c.user); has {
			v.put(t, s, c.user)
		}
	case recount:
		v.replace(t, s, c)
	case removal:
		v.remove(t, s)
	}
	if s.isEmpty() {
		s.emptied = v.beats
	}
	v.judge(t)
}

// replace makes a share what it is now.
func (v *View) replace(t *Topic, s *share, c *Change) {
	v.clearUsers(t, s)
	s.joined, s.left = c.now.joined, c.now.left
	s.isCounted, s.isPoor = c.now.isCounted || c.isPoor, c.isPoor
	if s.isCounted {
		return
	}
	slices.SortFunc(c.now.users, user.compare) // so that each is put behind the last
	for _, u := range c.now.users {
		v.put(t, s, u)
	}
}

// remove ends a share.
func (v *View) remove(t *Topic, s *share) {
	v.clearUsers(t, s)
	v.bytes -= s.bytes
	s.joined, s.left = 0, 0
	if i := slices.Index(t.shares, s); i >= 0 {
		t.shares = slices.Delete(t.shares, i, i+1)
	}
}
