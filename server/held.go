//go:build linux

package server

import "github.com/usher-ws/usher/stream"

// This file is about connections that are held: by their stream, because bytes wait or it
// is not their turn, or by us, for a delay or for jobs.

// goOn lets a connection go on that was held by its stream, as far as it may. One that is
// owed a call of Writable is read from, too: it may be owed the next call as soon as it had
// this one, and must not go unread because of that.
func (o owner) goOn(s link) {
	if up, ok := o.pairs.of(o.loop, s); ok && s.Waiting() == 0 {
		up.Go(byPeer) // all that it has said has left
	}
	why := s.Why()
	owed := s.Data().facts.has(owesWritable) && o.routeOf(s).Writable != nil && why&stream.Backlog == 0 && s.Generation()&closeAsked == 0
	switch {
	case why != 0 && !owed:
		o.pause(s)
	case owed && why == 0 && s.Extra().partial == nil:
		o.reopen(s)
		if !s.Read() {
			o.run(s, nil, nil)
		}
	default:
		o.proceed(s)
	}
}

// proceed lets a connection that was held go on with the tail it had to keep.
func (l *loop) proceed(s link) {
	l.reopen(s)
	l.run(s, nil, nil)
}

// expireHeld ends a delay, or a connection whose token has expired.
func (o owner) expireHeld(s link) {
	if o.expired(s) {
		return
	}
	if x := s.Extra(); s.Why()&byDelay != 0 && x.resume <= o.Now() {
		x.resume = 0
		s.Go(byDelay)
		s.TrimExtra()
		if s.Why() == 0 {
			o.proceed(s)
			return
		}
	}
	s.SetDue(o.expiry(s))
}
