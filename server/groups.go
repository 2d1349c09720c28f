//go:build linux

package server

import "github.com/usher-ws/usher/internal/compact"

// manyGroups in session.group says that what else it has is the first of its memberships.
const manyGroups = 1 << 31

// groups are those that have members on a loop.
type groups struct {
	loop *loop
	all  []*Group // index 0 is none
	free []uint32
	of   compact.Slab[membership] // of connections that are in several

	spare *walk
}

// membership is one of a connection's groups, and where the next one is, 0 for no more.
type membership struct{ group, next uint32 }

// joinNow makes c a member at once if the caller is a callback of its and nothing waits that
// the Join must not overtake: then what the callback says next leaves with what it has said,
// instead of by itself behind the Join. It reports whether c is a member.
func (l *loop) joinNow(c Conn, g *Group) bool {
	if !l.replies(c) || l.mail.queued.Load() || c.isClosed() {
		return false
	}
	s := l.At(c.slot)
	if !s.Data().facts.isUsers() {
		return false
	}
	l.groups.join(s, g)
	return true
}

// join makes the connection a member of g.
func (m *groups) join(s link, g *Group) {
	h := g.of(m.loop)
	if h == nil {
		m.loop.tellLeft(m.loop.routeOf(s), m.loop.conn(s), g) // it cannot join: meanwhile it is another server's
		return
	}
	if h.index == 0 {
		h.index = takeIndex(&m.all, &m.free)
		m.all[h.index] = g
	}
	switch d := s.Data(); {
	case m.isIn(d.group, h.index):
		return
	case d.group == 0:
		d.group = h.index
	default:
		if d.group&manyGroups == 0 {
			d.group = m.link(d.group, 0)
		}
		d.group = m.link(h.index, d.group&^manyGroups)
	}
	h.add(s.Slot())
	g.enrol(s, 1)
}

// link puts a membership before the others of its connection, of which next is the first, and
// returns what session.group is then.
func (m *groups) link(group, next uint32) uint32 {
	k := m.of.Take()
	*m.of.At(k) = membership{group, next}
	return k | manyGroups
}

// isIn reports whether a connection whose session.group is from is a member of a group.
func (m *groups) isIn(from, group uint32) bool {
	if from&manyGroups == 0 {
		return from == group
	}
	for k := from &^ manyGroups; k != 0; k = m.of.At(k).next {
		if m.of.At(k).group == group {
			return true
		}
	}
	return false
}

// count returns of how many groups a connection whose session.group is from is a member.
func (m *groups) count(from uint32) (n int) {
	if from&manyGroups == 0 {
		return int(min(from, 1))
	}
	for k := from &^ manyGroups; k != 0; k = m.of.At(k).next {
		n++
	}
	return n
}

// leave ends the connection's membership of g.
func (m *groups) leave(s link, g *Group) {
	h := g.of(m.loop)
	if h == nil || h.index == 0 || !m.isIn(s.Data().group, h.index) {
		return
	}
	if d := s.Data(); d.group == h.index {
		d.group = 0
	} else {
		d.group = m.unlink(d.group, h.index)
	}
	m.drop(s, g, h)
}

// unlink takes one of several memberships out, and returns what session.group is then.
func (m *groups) unlink(from, group uint32) uint32 {
	first := from &^ manyGroups
	at := &first
	for m.of.At(*at).group != group {
		at = &m.of.At(*at).next
	}
	gone := *at
	*at = m.of.At(gone).next
	m.of.Put(gone)
	if last := *m.of.At(first); last.next == 0 {
		m.of.Put(first)
		return last.group
	}
	return first | manyGroups
}

// leaveAll ends all memberships of a connection that has ended. It returns the groups
// whose Left is to be called.
func (m *groups) leaveAll(s link) (asking []*Group) {
	d := s.Data()
	for d.group != 0 {
		index := d.group
		if index&manyGroups == 0 {
			d.group = 0
		} else {
			index = m.of.At(index &^ manyGroups).group
			d.group = m.unlink(d.group, index)
		}
		g := m.all[index]
		m.drop(s, g, g.of(m.loop))
		if g.Left != nil {
			asking = append(asking, g)
		}
	}
	return asking
}

func (m *groups) drop(s link, g *Group, h *shard) {
	h.remove(s.Slot())
	g.enrol(s, -1)
	if h.size == 0 && h.walk == nil {
		*h = shard{index: h.index}
		m.forget(h)
	}
}

// forget drops the loop's reference to a group without members here.
func (m *groups) forget(h *shard) {
	m.all[h.index] = nil
	m.free = append(m.free, h.index)
	h.index = 0
}
