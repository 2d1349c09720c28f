//go:build linux

package server

// expiry is the tick by which the connection's token expires, as far as the
// wall clock can tell now; 0 for never. It is asked anew whenever a deadline is
// set or has come: a clock that was set forward is noticed at the next of them,
// and one that was set back only puts the end off.
func (l *loop) expiry(s link) uint32 {
	id := l.identities.get(s.Data().ident)
	if id == nil || id.ExpiresAt.IsZero() {
		return 0
	}
	left := id.ExpiresAt.Sub(l.wall())
	return l.Deadline(min(max(left, 1), forever))
}

// expired closes a connection whose token was good until now, and reports whether
// it did.
func (l *loop) expired(s link) bool {
	id := l.identities.get(s.Data().ident)
	if id == nil || id.ExpiresAt.IsZero() || l.wall().Before(id.ExpiresAt) {
		return false
	}
	l.conclude(s, nil, errTokenExpired)
	return true
}
