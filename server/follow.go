//go:build linux

package server

import "github.com/usher-ws/usher/upgrade"

// This file is how a loop goes over to another policy: at once for all that comes, and in turns
// for the connections that it has.

// follow goes by p from here on: what comes is judged by it.
func (l *loop) follow(p *policy) {
	l.before, l.policy = l.policy, p
	l.obey()
}

// obey sets what the loop has of its policy for each route.
func (l *loop) obey() {
	p := l.policy
	l.door.gate = upgrade.Upgrader{Origins: p.Origins, MaxHeaderBytes: p.MaxHead, TrustedProxies: l.srv.TrustedProxies}
	for k := range l.routes {
		r := &l.routes[k]
		r.Limits = p.limits[k]
		r.limited = r.Limits.any() || p.sharesMessages
		r.frame.MaxMessage = p.MaxMessage
		r.frame.KeepDeflated = r.limited && r.Limits.Cost == nil // a Cost looks at the message
	}
}

// goOver has an open connection go over to the policy, and reports whether s is one.
func (l *loop) goOver(s link) bool {
	if !s.Data().facts.isUsers() {
		return false
	}
	l.meter.repace(s, l.routeOf(s))
	if l.policy.countsByIP && l.networks.at(s.Slot()) == 0 {
		l.networks.set(s.Slot(), l.srv.countAddr(peer(s).Addr()))
	}
	if s.Why()&byDelay != 0 {
		s.Extra().resume = l.Now()
		s.DueAt(l.Now())
	}
	return true
}

// repace has a connection's buckets go over to the rates of the policy, unless they have: a
// bit of its facts says by which of two policies in a row they are.
func (m *meter) repace(s link, r *loopRoute) {
	d := s.Data()
	if d.facts.has(odd) == m.policy.isOdd {
		return
	}
	d.facts ^= odd
	before, now := m.before.limits[r.index], m.Now()
	d.messages.Change(before.Messages, r.Limits.Messages, now)
	d.bytes.Change(before.Bytes, r.Limits.Bytes, now)
	if !m.slows(r) {
		m.refund(s)
	}
}
