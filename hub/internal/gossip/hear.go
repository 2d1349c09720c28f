package gossip

import (
	"slices"
	"time"
)

// maxQueued is how many topics a node asks another for, or answers it, at once. What is more
// comes up again with the beats.
const maxQueued = 4096

// Heard notes that a message has arrived, and answers questions. It reports whether there is more
// in it, for Hear. That can be later; messages of one node should be in the order of arrival.
func (v *View) Heard(m *Message, now time.Duration) (more bool) {
	if m.From == v.Self || m.kind == kindGoodbye || slices.Contains(v.parted, m.From) {
		return false
	}
	n := v.find(m.From)
	if n == nil && len(v.round) > 0 && len(v.nodes) < MaxNodes {
		n = v.meet(m.From)
	}
	if n != nil {
		n.heard = now
	}
	if m.kind != kindQuestions {
		return n != nil
	}
	if n == nil {
		n = &node{Node: m.From} // for the answers
	}
	v.hearQuestions(n, m.questions)
	return false
}

// Part takes a goodbye: the node is gone. ok is false if the message is none, or the node was not
// known.
func (v *View) Part(m *Message) (gone Gone, ok bool) {
	if m.kind != kindGoodbye || m.From == v.Self {
		return Gone{}, false
	}
	if v.parted = append(v.parted, m.From); len(v.parted) > maxParted {
		v.parted = slices.Delete(v.parted, 0, 1)
	}
	n := v.find(m.From)
	if n == nil {
		return Gone{}, false
	}
	n.isGone = true
	v.nodes = slices.DeleteFunc(v.nodes, func(other *node) bool { return other == n })
	return v.end(n), true
}

// find returns a node that is known, or nil.
func (v *View) find(of Node) *node {
	for _, n := range v.nodes {
		if n.Node == of {
			return n
		}
	}
	return nil
}

// meet takes note of a node, and asks what it has in our topics.
func (v *View) meet(of Node) *node {
	n := &node{Node: of}
	v.nodes = append(v.nodes, n)
	for _, t := range v.round {
		t.waiting = append(t.waiting, n)
		v.ask(n, t.name)
	}
	return n
}

// hearQuestions queues the answers for those that do not know what we have.
func (v *View) hearQuestions(n *node, all []question) {
	for _, q := range all {
		version, isListed := uint64(0), false
		for _, k := range q.known {
			if k.node == v.Self {
				version, isListed = k.version, true
			}
		}
		t, answers := v.topics[q.topic], q.toAll || isListed
		if t != nil {
			// What has changed just now is on its way.
			isOld := version != t.version && t.changed < v.beats
			answers = q.toAll || version == 0 || isOld
		}
		if answers && len(n.answers) < maxQueued {
			n.answers = append(n.answers, answer{q.topic, q.toAll})
			v.queue(n)
		}
	}
}

// Change is something that is different at another node, for the members of one topic.
type Change struct {
	kind  changeKind
	topic *Topic
	share *share
	user  user // for came, went and status

	// For recount: what the share is now, and how many came and went with that. isNews says
	// that it is not known who was there before, and when they came.
	now          *told
	isPoor       bool
	joined, left int
	isNews       bool
}

type changeKind byte

const (
	came changeKind = iota
	went
	status
	recount
	removal // of the share
)

// Topic returns the topic that changes, which may have been dropped meanwhile.
func (c *Change) Topic() *Topic { return c.topic }

// Node returns the name of the node that it is about.
func (c *Change) Node() string { return c.share.node.Name }

// Parts returns how many parts a message has for Hear.
func (m *Message) Parts() int {
	switch m.kind {
	case kindEdits:
		return 1
	case kindShares:
		return len(m.shares)
	}
	return 0
}

// Hear returns what changes by a part of a message that Heard has let through. All that is
// returned must have been applied before the next.
func (v *View) Hear(m *Message, part int) []Change {
	n := v.find(m.From)
	switch {
	case n == nil: // it is gone by now
		return nil
	case m.kind == kindEdits:
		return v.hearEdits(n, &m.edits)
	}
	return v.hearShare(n, &m.shares[part])
}

func (v *View) hearEdits(n *node, e *edits) (all []Change) {
	t := v.topics[e.topic]
	if t == nil {
		return nil
	}
	s := t.shareOf(n)
	switch {
	case s == nil && slices.Contains(t.waiting, n):
		return nil // it was asked
	case s == nil:
		v.ask(n, t.name)
		return nil
	case e.before > s.version: // something was lost
		if s.asked != v.beats+1 {
			s.asked = v.beats + 1
			v.ask(n, t.name)
		}
		return nil
	case e.after <= s.version:
		return nil
	}
	names, bytes := 0, 0
	for _, e := range e.list {
		switch e.kind {
		case editCame:
			names++
			bytes += e.user.size()
		case editStatus:
			bytes += len(e.user.status)
		}
	}
	s.version = e.after
	if s.isCounted || !v.isRoomFor(t, names, bytes, nil) {
		now := &told{isCounted: true, joined: e.joined, left: e.left}
		return []Change{v.recount(t, s, now, s.isPoor || !s.isCounted)}
	}
	s.joined, s.left = e.joined, e.left
	for _, e := range e.list {
		c := Change{topic: t, share: s, user: e.user}
		switch e.kind {
		case editCame:
			c.kind = came
		case editWent:
			c.kind = went
		case editStatus:
			c.kind = status
		}
		all = append(all, c)
	}
	return all
}

func (v *View) hearShare(n *node, x *told) []Change {
	t := v.topics[x.topic]
	if t == nil {
		return nil
	}
	if i := slices.Index(t.waiting, n); i >= 0 {
		if t.waiting = slices.Delete(t.waiting, i, i+1); len(t.waiting) == 0 {
			t.waiting = nil
		}
	}
	s := t.shareOf(n)
	isNew := s == nil
	switch {
	case isNew:
		s = v.newShare(t, n)
		s.emptied = v.beats
	case s.isPoor && !x.isCounted && x.version == s.version: // asked for again
	case x.version <= s.version:
		return nil
	}
	bytes := 0
	for _, u := range x.users {
		bytes += u.size()
	}
	s.version = x.version
	isPoor := !x.isCounted && !v.isRoomFor(t, len(x.users), bytes, s)
	switch {
	case isNew && x.isFirst:
		c := v.recount(t, s, x, isPoor)
		c.joined, c.left, c.isNews = 0, 0, x.joined > x.left
		return []Change{c}
	case x.isCounted || isPoor || s.isCounted:
		return []Change{v.recount(t, s, x, isPoor)}
	}
	return v.compare(t, s, x)
}

// recount returns the change to another number of users, and their names if they are told.
func (v *View) recount(t *Topic, s *share, now *told, isPoor bool) Change {
	c := Change{kind: recount, topic: t, share: s, now: now, isPoor: isPoor}
	if now.joined >= s.joined && now.left >= s.left && s.joined > 0 {
		c.joined, c.left = int(now.joined-s.joined), int(now.left-s.left)
		return c
	}
	// It is not the share that was counted before.
	more := int(now.joined-now.left) - int(s.joined-s.left)
	c.joined, c.left = max(0, more), max(0, -more)
	return c
}

// compare returns the users that came and went, from one share with names to another.
func (v *View) compare(t *Topic, s *share, x *told) (all []Change) {
	s.joined, s.left = x.joined, x.left
	slices.SortFunc(x.users, user.compare)
	old := s.users
	for _, u := range x.users {
		for ; len(old) > 0 && old[0].compare(u) < 0; old = old[1:] {
			all = append(all, Change{kind: went, topic: t, share: s, user: old[0]})
		}
		switch has := len(old) > 0 && old[0].compare(u) == 0; {
		case !has:
			all = append(all, Change{kind: came, topic: t, share: s, user: u})
			continue
		case old[0].status != u.status:
			all = append(all, Change{kind: status, topic: t, share: s, user: u})
		}
		old = old[1:]
	}
	return append(all, allWent(t, s, old)...)
}

// allWent returns the leaving of users of a share.
func allWent(t *Topic, s *share, users []user) (all []Change) {
	for _, u := range users {
		all = append(all, Change{kind: went, topic: t, share: s, user: u})
	}
	return all
}
