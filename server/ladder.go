//go:build linux

package server

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
)

// exceeded does what the route does about a limit that an event exceeds, and returns
// how the connection ends if that is what it does. A message over a limit is not
// handled; a ping is answered whatever the byte limit says.
func (l *loop) exceeded(c Conn, s link, r *loopRoute, kind frame.EventKind, over excess) *CloseError {
	if kind != frame.MessageEvent && r.Limits.Over != Close {
		return nil
	}
	act, tell := l.consequence(c, s, r, over)
	switch {
	case l.srv.LimitDryRun:
		return nil
	case act == Close:
		return limitClose(l.violation(s, r, over))
	case act == Warn && tell && r.OnLimit != nil:
		r.OnLimit(c, l.violation(s, r, over))
	}
	return nil
}

// consequence says what is to be done about a limit that is exceeded: the route's
// action, or Close for who was over too often; and whether the last time it was told
// is long enough ago to tell again. It counts, and tells the log.
func (l *loop) consequence(c Conn, s link, r *loopRoute, over excess) (act Action, tell bool) {
	act = r.Limits.Over
	if most := r.Limits.CloseAfter; most > 0 && l.strike(s) >= most {
		act = Close
	}
	tell = l.mayTell(s)
	r.decided.count(over.limit, act)
	if level := l.srv.limitLevel(); (tell || act == Close && !l.srv.LimitDryRun) && l.srv.log.enabled(level) {
		l.srv.log.add(level, "server: over a limit", "route", r.pattern, "remote", c.RemoteAddr().String(),
			"code", over.limit.code(), "action", act.String(), "enforced", !l.srv.LimitDryRun)
	}
	return act, tell
}

// limitLevel is the level at which the log is told: who tries limits wants to see
// what they would do, and who has them is not to be flooded with it.
func (s *Server) limitLevel() slog.Level {
	if s.LimitDryRun {
		return slog.LevelInfo
	}
	return slog.LevelDebug
}

// strikeTime is the time over which Limits.CloseAfter counts.
const strikeTime = uint32(time.Minute / stream.TickLength)

// strike counts how often s was over a limit in the minute that began when it first
// was.
func (l *loop) strike(s link) int {
	x := s.NeedExtra()
	if x.strikes == 0 || l.Tick()-x.struck >= strikeTime {
		x.strikes, x.struck = 0, l.Tick()
	}
	x.strikes++
	return x.strikes
}

// violation says which limit is exceeded and when it has room for the same again.
func (l *loop) violation(s link, r *loopRoute, over excess) Violation {
	v := Violation{Limit: over.limit.String()}
	now := l.Now()
	user, addr := l.keys(s)
	switch over.limit {
	case bytesLimit:
		v.Rate = r.Limits.Bytes
		v.RetryAfter = s.Data().bytes.WaitN(v.Rate, now, over.n)
	case userLimit:
		v.Rate = l.srv.MessagesPerUser
		v.RetryAfter = l.srv.userMessages.WaitN(user, now, over.n)
	case ipLimit:
		v.Rate = l.srv.MessagesPerIP
		v.RetryAfter = l.srv.ipMessages.WaitN(addr, now, over.n)
	default:
		v.Rate = r.Limits.Messages
		v.RetryAfter = s.Data().messages.WaitN(v.Rate, now, over.n)
	}
	return v
}

// limitClose is the end of who was over a limit: its code, and when to come back.
func limitClose(v Violation) *CloseError {
	ms := max(1, (v.RetryAfter+time.Millisecond-1)/time.Millisecond)
	return &CloseError{
		Code:   frame.StatusPolicyViolation,
		Reason: fmt.Sprintf("%s_limit; retry-after-ms=%d", v.Limit, ms),
	}
}

// tellEvery is how often at most a connection, and the log, is told that it is too
// loud.
const tellEvery = time.Second

// mayTell reports whether the last time is long enough ago, and if so notes this
// one. The clock is kept in milliseconds that wrap after 49 days.
func (l *loop) mayTell(s link) bool {
	now := uint32(l.Now()/time.Millisecond) | 1
	if s.Data().told != 0 && now-s.Data().told < uint32(tellEvery/time.Millisecond) {
		return false
	}
	s.Data().told = now
	return true
}
