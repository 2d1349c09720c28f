//go:build linux

package server

// This file calls Group.Left: behind the Close of a connection, and for joins that came
// too late for their connection.

// tellLeft calls the Left of all groups, whatever becomes of the goroutine. r is nil if the
// connection's route is not known any more.
func (l *loop) tellLeft(r *loopRoute, c Conn, all ...*Group) {
	for _, g := range all {
		if g.Left == nil {
			continue
		}
		defer func() {
			if r != nil {
				l.enter(r)
			}
			_ = l.try(func() error { g.Left(c); return nil })
		}()
	}
}

// tellUndone is tellLeft for the joins among entries that the loop will not come to.
func (l *loop) tellUndone(entries []entry) {
	for _, e := range entries {
		if e.kind == entryJoin {
			defer l.tellLeft(nil, e.conn, e.group)
		}
	}
}
