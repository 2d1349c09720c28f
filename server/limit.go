//go:build linux

package server

import (
	"net/netip"

	"github.com/usher-ws/usher/frame"
)

// excess is a limit that an event exceeds, and what it would have taken of it. The
// zero excess is none.
type excess struct {
	limit limit
	n     int
}

// slows reports whether r slows down who is over its limits.
func (l *loop) slows(r *loopRoute) bool { return r.Limits.Over == Delay && !l.srv.LimitDryRun }

// charge takes what an event costs from the buckets, and says which limit it
// exceeds, if one. Every frame costs bytes; a complete data message costs what the
// route says, one if it says nothing, before anybody has looked at what it says.
func (l *loop) charge(s link, r *loopRoute, p *frame.Protocol, kind frame.EventKind, m Message) (over excess) {
	if !r.Limits.Bytes.Unlimited() {
		over = l.chargeBytes(s, r, p.TakeCost())
	}
	if kind != frame.MessageEvent {
		if over.limit != within && p.InMessage() {
			s.Data().facts |= spoiled
		}
		return over
	}
	if s.Data().facts.has(spoiled) {
		s.Data().facts &^= spoiled
		over = excess{bytesLimit, 1}
	}
	n := 1
	if r.Limits.Cost != nil {
		n = max(0, r.Limits.Cost(m))
	}
	if l.slows(r) {
		l.owe(s, r, n)
		return over
	}
	if limit := l.take(s, r, n); limit != within {
		over = excess{limit, n}
	}
	return over
}

func (l *loop) chargeBytes(s link, r *loopRoute, n int) excess {
	if n == 0 {
		return excess{}
	}
	if l.slows(r) {
		s.Data().bytes.DelayN(r.Limits.Bytes, l.Now(), n) // a debt: the next frame waits until it is paid
		return excess{}
	}
	if s.Data().bytes.AllowN(r.Limits.Bytes, l.Now(), n) {
		return excess{}
	}
	return excess{bytesLimit, n}
}

// take takes n from the connection's bucket and from those it shares: from all, or
// from none if one of them has too few.
func (l *loop) take(s link, r *loopRoute, n int) limit {
	now := l.Now()
	if !s.Data().messages.AllowN(r.Limits.Messages, now, n) {
		return messagesLimit
	}
	if !l.srv.sharesMessages {
		return within
	}
	user, addr := l.keys(s)
	if user != "" && !l.srv.userMessages.AllowN(user, now, n) {
		s.Data().messages.CancelN(r.Limits.Messages, now, n)
		return userLimit
	}
	if addr.IsValid() && !l.srv.ipMessages.AllowN(addr, now, n) {
		s.Data().messages.CancelN(r.Limits.Messages, now, n)
		if user != "" {
			l.srv.userMessages.CancelN(user, now, n)
		}
		return ipLimit
	}
	return within
}

// owe takes n from the buckets whether it is there or not: mustWait has waited for
// the first, and waits for the rest before the next message is read.
func (l *loop) owe(s link, r *loopRoute, n int) {
	now := l.Now()
	s.Data().messages.DelayN(r.Limits.Messages, now, n)
	if !l.srv.sharesMessages || n == 0 {
		return
	}
	s.Data().facts &^= prepaid
	user, addr := l.keys(s)
	if user != "" && n > 1 {
		l.srv.userMessages.DelayN(user, now, n-1)
	}
	if addr.IsValid() && n > 1 {
		l.srv.ipMessages.DelayN(addr, now, n-1)
	}
}

// keys returns by what the connection's messages are counted together with those of
// others, zero for what they are not.
func (l *loop) keys(s link) (user string, addr netip.Addr) {
	if id := l.identities.get(s.Data().ident); id != nil && !l.srv.MessagesPerUser.Unlimited() {
		user = id.Subject
	}
	if !l.srv.MessagesPerIP.Unlimited() {
		addr = s.Extra().addr
	}
	return user, addr
}

// mustWait holds the connection if its next message may not be read yet, or says how
// it ends if it had to wait too often. The buckets are asked before the message is
// read, so that nothing has to be put back. From a shared one the message is taken
// at once: those who wait get their turns one after the other, instead of all waking
// up for the same.
func (l *loop) mustWait(c Conn, s link, r *loopRoute) (bool, *CloseError) {
	now := l.Now()
	over, wait := excess{messagesLimit, 1}, s.Data().messages.WaitN(r.Limits.Messages, now, 1)
	if !r.Limits.Bytes.Unlimited() {
		if w := s.Data().bytes.WaitN(r.Limits.Bytes, now, 0); w > wait {
			over, wait = excess{bytesLimit, 1}, w
		}
	}
	if l.srv.sharesMessages && !s.Data().facts.has(prepaid) {
		s.Data().facts |= prepaid
		user, addr := l.keys(s)
		if user != "" {
			if w := l.srv.userMessages.DelayN(user, now, 1); w > wait {
				over, wait = excess{userLimit, 1}, w
			}
		}
		if addr.IsValid() {
			if w := l.srv.ipMessages.DelayN(addr, now, 1); w > wait {
				over, wait = excess{ipLimit, 1}, w
			}
		}
	}
	if wait <= 0 {
		return false, nil
	}
	if act, _ := l.consequence(c, s, r, over); act == Close {
		return true, limitClose(l.violation(s, r, over))
	}
	s.Hold(byDelay)
	s.NeedExtra().resume = now + wait
	s.DueAt(now + wait)
	return true, nil
}

// refund gives back what a connection that ends has taken in advance.
func (l *loop) refund(s link) {
	if !s.Data().facts.has(prepaid) {
		return
	}
	s.Data().facts &^= prepaid
	user, addr := l.keys(s)
	if user != "" {
		l.srv.userMessages.CancelN(user, l.Now(), 1)
	}
	if addr.IsValid() {
		l.srv.ipMessages.CancelN(addr, l.Now(), 1)
	}
}
