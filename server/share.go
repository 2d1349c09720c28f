//go:build linux

package server

import (
	"time"

	"github.com/usher-ws/usher/limiter"
)

// sharer names the buckets that a connection's messages share with those of other
// connections: its user's and its address's, zero where there is none.
type sharer struct {
	policy  *policy
	srv     *Server
	user    string
	network network
}

// sharer returns whose buckets the connection's messages are taken from, too.
func (m *meter) sharer(s link) sharer {
	h := sharer{policy: m.policy, srv: m.srv}
	if !m.policy.MessagesPerUser.Unlimited() {
		h.user = m.srv.users.subject(s.Data().ident)
	}
	if !m.policy.MessagesPerIP.Unlimited() {
		h.network = m.networks.at(s.Slot())
	}
	return h
}

// take takes n from both buckets, or from none if one of them has too few, which it
// returns.
func (h sharer) take(now time.Duration, n int) limit {
	if h.user != "" && !h.srv.userMessages.AllowN(h.user, now, n) {
		return userLimit
	}
	if h.network != 0 && !h.srv.ipMessages.AllowN(h.network, now, n) {
		if h.user != "" {
			h.srv.userMessages.CancelN(h.user, now, n)
		}
		return ipLimit
	}
	return within
}

// owe takes n from both buckets whether they are there or not, and returns how long it
// will be until they are, and which bucket takes that long.
func (h sharer) owe(now time.Duration, n int) (over limit, wait time.Duration) {
	if h.user != "" {
		over, wait = userLimit, h.srv.userMessages.DelayN(h.user, now, n)
	}
	if h.network != 0 {
		if w := h.srv.ipMessages.DelayN(h.network, now, n); w > wait {
			over, wait = ipLimit, w
		}
	}
	return over, wait
}

// waitFor returns the rate of the bucket that userLimit or ipLimit is about, and how long it
// will be until it has n.
func (h sharer) waitFor(l limit, now time.Duration, n int) (limiter.Rate, time.Duration) {
	if l == userLimit {
		return h.policy.MessagesPerUser, h.srv.userMessages.WaitN(h.user, now, n)
	}
	return h.policy.MessagesPerIP, h.srv.ipMessages.WaitN(h.network, now, n)
}

// refund gives back what a connection that ends has taken in advance.
func (m *meter) refund(s link) {
	if !s.Data().facts.has(prepaid) {
		return
	}
	s.Data().facts &^= prepaid
	h := m.sharer(s)
	if h.user != "" {
		h.srv.userMessages.CancelN(h.user, m.Now(), 1)
	}
	if h.network != 0 {
		h.srv.ipMessages.CancelN(h.network, m.Now(), 1)
	}
}
