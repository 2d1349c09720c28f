//go:build linux

package server

import "slices"

// manyGroups in session.group says that the groups are listed in extra.groups.
const manyGroups = ^uint32(0)

// groups are those that have members on a loop.
type groups struct {
	loop *loop
	all  []*Group // index 0 is none
	free []uint32

	spare *walk
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
	switch {
	case s.Data().group == 0:
		s.Data().group = h.index
	case s.Data().group == h.index:
		return
	case s.Data().group != manyGroups:
		x := s.NeedExtra()
		x.groups = []uint32{s.Data().group, h.index}
		s.Data().group = manyGroups
	default:
		x := s.NeedExtra()
		if slices.Contains(x.groups, h.index) {
			return
		}
		x.groups = append(x.groups, h.index)
	}
	h.add(s.Slot())
	g.enrol(s, 1)
}

// leave ends the connection's membership of g.
func (m *groups) leave(s link, g *Group) {
	h := g.of(m.loop)
	if h == nil || h.index == 0 {
		return
	}
	switch {
	case s.Data().group == h.index:
		s.Data().group = 0
	case s.Data().group == manyGroups:
		x := s.NeedExtra()
		at := slices.Index(x.groups, h.index)
		if at < 0 {
			return
		}
		if x.groups = slices.Delete(x.groups, at, at+1); len(x.groups) == 0 {
			s.Data().group, x.groups = 0, nil
			s.TrimExtra()
		}
	default:
		return
	}
	m.drop(s, g, h)
}

// leaveAll ends all memberships of a connection that has ended. It returns the groups
// whose Left is to be called.
func (m *groups) leaveAll(s link) (asking []*Group) {
	d := s.Data()
	one := [1]uint32{d.group}
	all := one[:]
	switch d.group {
	case 0:
		return nil
	case manyGroups:
		x := s.NeedExtra()
		all, x.groups = x.groups, nil
	}
	d.group = 0
	for _, index := range all {
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
