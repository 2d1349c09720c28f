//go:build linux

package server

import (
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
)

var errBacklogClose = &CloseError{Code: frame.StatusTryAgainLater, Reason: "backlog"}

// takesPosts reports whether others than s's own event may send to it.
func takesPosts(s link) bool {
	return table[s.Data().facts.state()][post].do == deliver && s.State() != stream.Gone
}

// transmit sends b, whole frames, and holds the connection if the peer does not take them.
// Parts of b that will not change are not copied then.
func (l *loop) transmit(s link, b []byte, parts ...stream.Part) {
	s.WriteParts(b, parts)
	l.pause(s)
}

// deliver sends b, whole frames with n messages in them, that did not come from an event of
// the connection's own.
func (l *loop) deliver(s link, b []byte, n int, parts ...stream.Part) {
	if l.routeOf(s).Relay != nil {
		l.deliverBetween(s, b, n)
		return
	}
	if waiting := s.Waiting(); waiting > 0 && waiting+len(b) > l.srv.maxBacklog() {
		l.overflow(s, n)
		return
	}
	t := &l.routeOf(s).tally
	t.MessagesOut += int64(n)
	t.BytesOut += int64(len(b))
	l.transmit(s, b, parts...)
}

// overflow carries out the route's Overflow for n messages to a peer that has let too much
// pile up.
func (l *loop) overflow(s link, n int) {
	if r := l.routeOf(s); r.Overflow == DropNewest {
		r.tally.Dropped += int64(n)
		return
	}
	if q := s.Extra().line; q != nil && q.then != nil {
		return // it ends anyway
	}
	l.srv.stats.slow.Add(1)
	l.conclude(s, nil, errBacklogClose)
}
