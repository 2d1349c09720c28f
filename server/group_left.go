//go:build linux

package server

// This file calls Group.Left: behind the Close of a connection, and for joins that came
// too late for their connection.

// tellLeft calls the Left of all groups, whatever becomes of the goroutine.
func (l *loop) tellLeft(r *loopRoute, c Conn, groups []*Group) {
	for _, g := range groups {
		defer l.callLeft(r, c, g)
	}
}

// joinedTooLate is an entryJoin whose connection has ended.
func (l *loop) joinedTooLate(e *entry) {
	l.callLeft(nil, Conn{loop: l, slot: uint32(e.tok), gen: uint32(e.from)}, e.group)
}

// joinsUndone is joinedTooLate for all entries that the loop will not come to.
func (l *loop) joinsUndone(entries []entry) {
	for i := range entries {
		if entries[i].kind == entryJoin {
			defer l.joinedTooLate(&entries[i])
		}
	}
}

// callLeft calls Left, if there is one. r is the route of the connection, or nil when
// that is not known any more.
func (l *loop) callLeft(r *loopRoute, c Conn, g *Group) {
	if g.Left == nil {
		return
	}
	var err error
	defer l.guard(&err)
	if r != nil {
		l.enter(r)
	}
	l.inside = true
	g.Left(c)
	l.inside = false
}
