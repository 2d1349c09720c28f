//go:build linux

package server

import "github.com/usher-ws/usher/frame"

// This file is what we say ourselves to the client of a relay. It goes between two messages of the
// other server's, as the fragments of two must not mix (RFC 6455 §5.4), and uncompressed, so that
// it is in no window of theirs. What comes in the middle of a message waits for its end.

// waiting is how many bytes wait for a peer, or for the end of a message that passes to it.
func (l *loop) waiting(s link) int {
	n := s.Waiting()
	if up, ok := l.pairs.of(l, s); ok {
		n += len(up.Extra().unsaid)
	}
	return n
}

// fits reports whether n bytes more may wait for a peer. If none do, they may, however many.
func (l *loop) fits(s link, n int) bool {
	waiting := l.waiting(s)
	return waiting == 0 || waiting+n <= l.srv.maxBacklog()
}

// deliverBetween is deliver for the client of a relay. A ping, of no message, goes at once: whoever
// asks for it has looked.
func (l *loop) deliverBetween(s link, b []byte, n int) {
	switch {
	case n == 0:
		s.Pass(b)
	case s.Extra().parting != nil: // too late
	case !l.fits(s, len(b)):
		l.overflow(s, n)
	default:
		l.routeOf(s).tally.MessagesOut += int64(n)
		l.tell(s, b)
	}
}

// tell says whole messages to the client of a relay, or when the message is over that passes to it.
// The other server is not read from while they wait to be taken.
func (l *loop) tell(s link, b []byte) {
	up, ok := l.pairs.of(l, s)
	if !ok { // it is about to end, perhaps in the middle of a message
		return
	}
	if up.Extra().partial.InMessage() {
		x := up.NeedExtra()
		x.unsaid = l.Buffers.Append(x.unsaid, b)
		up.Data().facts |= owesText
		return
	}
	l.routeOf(s).tally.BytesOut += int64(len(b))
	if s.Pass(b); l.pairs.at(up.Slot()) != 0 && s.Waiting() > 0 {
		up.Hold(byPeer)
	}
}

// tellUnsaid says what has waited for the end of a message.
func (o owner) tellUnsaid(s, up link) {
	up.Data().facts &^= owesText
	if !up.HasExtra() {
		return
	}
	b := up.Extra().unsaid
	up.Extra().unsaid = nil
	o.give(s, up, b)
	o.Buffers.Put(b)
}

// warn tells the client of a relay, in its own event, that it is over a limit, if there is room for
// that.
func (m *meter) warn(s link, r *loopRoute) {
	text := []byte(r.Relay.WarnText)
	if m.fits(s, len(text)+frameHeader) {
		m.reply.b = frame.AppendFrame(m.reply.b, frame.OpText, text)
		m.reply.said++
	}
}
