//go:build linux

package server

// This file counts what is kept in tables for connections: of their users and who of them is banned, of the places that
// they have come to, of addresses and users for limits, and what an application keeps. No
// connection is a victim for it, so the door sees to it that it does not fill the budget.

// Charge counts n bytes more in what Buffered tells and MaxBuffered bounds, fewer if n is
// negative: for what an application keeps for its connections in tables of its own, as a
// hub.Hub does for its members. While tables take three quarters of MaxBuffered, requests for
// routes are refused with 503, as when MaxConns is reached. Safe for any goroutine.
func (s *Server) Charge(n int) { s.charged.Add(int64(n)) }

// tableBytes returns the loop's share of what tables take that are for all, and what its own
// take.
func (l *loop) tableBytes() int {
	shared := int(l.srv.users.size.Load() + l.srv.bans.size.Load() + l.srv.charged.Load() + l.srv.limited.Load())
	return (shared+l.ID())/len(l.srv.loops) + l.places.bytes // the shares add up to it
}

// weighTables charges the loop's budget for tableBytes.
func (l *loop) weighTables() {
	n := l.tableBytes()
	if l.drain.cutTo > 0 { // the loop has ended
		n = 0
	}
	if n != l.tables {
		l.Buffers.Charge(n - l.tables)
		l.tables = n
	}
}

// hasNoRoom reports whether tables take as much as they may.
func (l *loop) hasNoRoom() bool {
	most := l.srv.maxBuffered() / len(l.srv.loops)
	return most > 0 && l.tableBytes() > most-most/4
}

// weighLimits notes what limits by address and user take in tables.
func (s *Server) weighLimits() {
	s.limited.Store(int64(s.perIP.Size() + s.arrivals.Size() + s.ipMessages.Size() + s.userMessages.Size()))
}
