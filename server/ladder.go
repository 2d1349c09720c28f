//go:build linux

package server

import (
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/text"
	"github.com/usher-ws/usher/stream"
	"github.com/usher-ws/usher/upgrade"
)

// exceeded carries out the route's action on a limit that an event exceeds, and returns
// how the connection ends, if it does. A message over a limit is not
// handled; a ping is answered whatever the byte limit says.
func (m *meter) exceeded(c Conn, s link, r *loopRoute, ev *frame.Event, over excess) *CloseError {
	if !isWhole(ev) && r.Limits.Over != Disconnect {
		return nil
	}
	act, tell := m.consequence(s, r, over)
	switch {
	case m.policy.LimitDryRun:
		return nil
	case act == Disconnect:
		return m.limitClose(s, r, over)
	case act == Warn && tell && r.OnLimit != nil:
		r.OnLimit(c, m.violation(s, r, over))
	}
	return nil
}

// consequence says what is to be done about a limit that is exceeded: the route's
// action, or Disconnect for a connection that was over too often; and whether it was last
// told long enough ago to be told again. It counts, and writes to the log.
func (m *meter) consequence(s link, r *loopRoute, over excess) (act Action, tell bool) {
	act = r.Limits.Over
	if most := r.Limits.CloseAfter; most > 0 && m.strike(s) >= most {
		act = Disconnect
	}
	tell = m.mayTell(s)
	r.decided.count(over.limit, act)
	if level := m.srv.limitLevel(); (tell || act == Disconnect && !m.policy.LimitDryRun) && m.srv.log.enabled(level) {
		m.srv.log.add(level, "server: over a limit", "route", r.pattern.String(), "remote", text.Peer(s.RemoteAddr()),
			"code", over.limit.code(), "action", act.String(), "enforced", !m.policy.LimitDryRun)
	}
	return act, tell
}

// strikeTime is the time over which Limits.CloseAfter counts.
const strikeTime = uint32(time.Minute / stream.TickLength)

// strike counts how often s was over a limit in the minute that began when it first
// was.
func (m *meter) strike(s link) int {
	x := s.NeedExtra()
	if x.strikes == 0 || m.Tick()-x.struck >= strikeTime {
		x.strikes, x.struck = 0, m.Tick()
	}
	x.strikes++
	return x.strikes
}

// forgive forgets how often s was over a limit if that counts no more.
func (m *meter) forgive(s link) {
	if x := s.Extra(); x.strikes > 0 && m.Tick()-x.struck >= strikeTime {
		x.strikes, x.struck = 0, 0
		s.TrimExtra()
	}
}

// violation says which limit is exceeded and when it has room for the same again.
func (m *meter) violation(s link, r *loopRoute, over excess) Violation {
	v := Violation{Limit: over.limit.String()}
	now := m.Now()
	switch over.limit {
	case bytesLimit:
		v.Rate = r.Limits.Bytes
		v.RetryAfter = s.Data().bytes.WaitN(v.Rate, now, over.n)
	case userLimit, ipLimit:
		v.Rate, v.RetryAfter = m.sharer(s).waitFor(over.limit, now, over.n)
	default:
		v.Rate = r.Limits.Messages
		v.RetryAfter = s.Data().messages.WaitN(v.Rate, now, over.n)
	}
	return v
}

// limitClose is the end of a connection that was over a limit: the code, and when to come
// back.
func (m *meter) limitClose(s link, r *loopRoute, over excess) *CloseError {
	v := m.violation(s, r, over)
	return &CloseError{
		Code:   frame.StatusPolicyViolation,
		Reason: v.Limit + "_limit" + upgrade.RetryHint(v.RetryAfter),
	}
}

// tellEvery is how often at most a connection, and the log, is told that it is too
// loud.
const tellEvery = time.Second

// mayTell reports whether the last time is long enough ago, and if so notes this
// one. The clock is kept in milliseconds that wrap after 49 days.
func (m *meter) mayTell(s link) bool {
	now := uint32(m.Now()/time.Millisecond) | 1
	if s.Data().told != 0 && now-s.Data().told < uint32(tellEvery/time.Millisecond) {
		return false
	}
	s.Data().told = now
	return true
}
