//go:build linux

package server

import (
	"cmp"
	"math"
	"runtime"
	"time"
)

// fail ends Wait with err.
func (s *Server) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

func (s *Server) total() int { return s.engine.Sockets() }

// Sockets returns how many connections there are, in whatever state. It asks no loop, so
// it does not wait.
func (s *Server) Sockets() int {
	if !s.life.hasRun() { // not started, or in vain
		return 0
	}
	return s.total()
}

// Buffered returns how many bytes are held (see MaxBuffered), and the most
// that were since it was last called, as far as the loops have said at the end of their passes.
// It asks no loop, so it does not wait. Safe for any goroutine.
func (s *Server) Buffered() (now, most int) {
	if !s.life.hasRun() {
		return 0, 0
	}
	for _, l := range s.loops {
		n, m := l.Lent()
		now, most = now+n, most+m
	}
	return now, most
}

// here returns the loop that the caller is a callback of, or nil.
func (s *Server) here() *loop {
	if !s.life.hasRun() {
		return nil
	}
	return s.loopHere(s.loops[0])
}

const defaultMaxBuffered = 256 << 20

func (s *Server) loopCount() int {
	if s.Loops > 0 {
		return s.Loops
	}
	return runtime.GOMAXPROCS(0)
}

// tidy forgets what the limits by address and user need not know any more, and weighs the rest.
func (s *Server) tidy(now time.Duration) {
	s.perIP.Sweep(now)
	s.arrivals.Sweep(now)
	s.ipMessages.Sweep(now)
	s.userMessages.Sweep(now)
	s.bans.tidy(time.Now())
	s.weighLimits()
}

// forever is as good as no limit of a time, and far from where sums of times overflow.
const forever = 10 * 365 * 24 * time.Hour

// span is or for a time.
func span(setting, standard time.Duration) time.Duration {
	return min(or(setting, standard), forever)
}

// or returns the default for a zero setting, and 0 for a negative one.
func or[T int | time.Duration](setting, standard T) T {
	if setting == 0 {
		return standard
	}
	return max(setting, 0)
}

func (s *Server) maxBacklog() int { return cmp.Or(or(s.MaxBacklog, 1<<20), math.MaxInt) }

func (s *Server) maxRequests() int { return cmp.Or(or(s.MaxRequests, 256), math.MaxInt) }

func (s *Server) maxBuffered() int { return or(s.MaxBuffered, defaultMaxBuffered) }

func (s *Server) handshakeTimeout() time.Duration { return span(s.HandshakeTimeout, 10*time.Second) }

func (s *Server) messageTimeout() time.Duration { return span(s.MessageTimeout, 30*time.Second) }

func (s *Server) writeTimeout() time.Duration { return span(s.WriteTimeout, 30*time.Second) }

func (s *Server) pingInterval() time.Duration { return span(s.PingInterval, 25*time.Second) }

func (s *Server) idleTimeout() time.Duration { return span(s.IdleTimeout, 2*time.Minute) }

func (s *Server) drainTime() time.Duration { return span(s.Drain, 10*time.Second) }

// pingAfter is the silence after which a peer is pinged; 0 for never.
func (s *Server) pingAfter() time.Duration {
	every, half := s.pingInterval(), s.idleTimeout()/2
	if every == 0 || half > 0 && half < every {
		return half
	}
	return every
}
