//go:build linux

package server

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"time"

	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/upgrade"
)

// quota is the address and the user by which limits count a connection.
type quota struct {
	network network // zero: it is not counted by address, and has no place of one
	name    string  // "": it has no place of a user's
}

// admitAddr is stream.Config.Admit: whether an address that has this many newcomers may have
// one more. It is asked, and the rate is charged, when a connection is accepted, or its PROXY
// header has come. What a trusted proxy brings is counted when the request says for whom.
func (s *Server) admitAddr(addr netip.Addr, newcomers int, now time.Duration) bool {
	if s.TrustedProxies.Has(addr) {
		return true
	}
	from, most := networkOf(addr), s.policy.Load().MaxConnsPerIP
	if most > 0 && s.perIP.InUse(from)+newcomers >= most {
		return false
	}
	return s.arrivals.AllowN(from, now, 1)
}

// quotas asks the limits of connections that need no identity, when the head is there: the
// connection is no newcomer any more. A probe takes nothing. lr is nil if no route matches.
// isPlain says that it is to be passed on whatever it asks for, and isProxied that a trusted
// proxy has brought r.
func (d *door) quotas(s link, lr *loopRoute, r *upgrade.Request, isPlain, isProxied bool) (q quota, err error) {
	if d.srv.life.isDraining() {
		return q, errDraining.WithRetryAfter(jitter(5 * time.Second))
	}
	wasExcess := s.Excess()
	isPlaced, isCharged := s.Claim()
	isCharged = isCharged && !isProxied
	switch {
	case !isPlaced || lr != nil && !isPlain && d.hasNoRoom():
		return q, errFull.WithRetryAfter(jitter(5 * time.Second))
	case wasExcess:
		d.await(s)
	}
	by := d.policy
	if !by.countsByIP && by.ConnRate.Unlimited() {
		return q, nil
	}
	from := networkOf(r.RemoteAddr.Addr())
	if from == 0 {
		return q, nil // hung up already, or no IP socket
	}
	if r.IsProbe() && !isPlain {
		if isCharged {
			d.srv.arrivals.CancelN(from, d.Now(), 1)
		}
		return q, d.overConns(lr, r, errPerIP, d.srv.checkAddr(from, by, d.Now()))
	}
	if by.countsByIP {
		q.network = from
	}
	if err := d.srv.acquireAddr(from, by, isCharged, d.Now()); err != nil {
		if err := d.overConns(lr, r, errPerIP, err); err != nil {
			return quota{}, err
		}
		if by.countsByIP {
			d.srv.perIP.Add(from)
		}
	}
	return q, nil
}

// acquireAddr takes a place of an address, and of its rate what the connection has not been
// charged for yet.
func (s *Server) acquireAddr(from network, by *policy, isCharged bool, now time.Duration) error {
	if by.countsByIP && !s.perIP.AcquireUpTo(from, by.MaxConnsPerIP) {
		return &limiter.ErrLimit{}
	}
	if isCharged || s.arrivals.AllowN(from, now, 1) {
		return nil
	}
	if by.countsByIP {
		s.perIP.Release(from)
	}
	return s.tooOften(from, now)
}

// countAddr counts a connection that has come already, when from now on they count by address.
func (s *Server) countAddr(addr netip.Addr) network {
	from := networkOf(addr)
	if from != 0 {
		s.perIP.Add(from)
	}
	return from
}

// checkAddr returns what acquireAddr would of one more connection, and takes nothing.
func (s *Server) checkAddr(from network, by *policy, now time.Duration) error {
	if most := by.MaxConnsPerIP; most > 0 && s.perIP.InUse(from) >= most {
		return &limiter.ErrLimit{}
	}
	if s.arrivals.WaitN(from, now, 1) > 0 {
		return s.tooOften(from, now)
	}
	return nil
}

func (s *Server) tooOften(from network, now time.Duration) error {
	return &limiter.ErrLimit{RetryAfter: max(s.arrivals.WaitN(from, now, 1), 1)}
}

// user asks the limit of the user's connections, of which there may be most; 0 is no limit. A
// probe takes nothing.
func (q *quota) user(d *door, lr *loopRoute, most int, r *upgrade.Request) error {
	if most <= 0 || r.Identity == nil || r.Identity.Subject == "" {
		return nil
	}
	name := r.Identity.Subject
	if r.IsProbe() {
		return d.overConns(lr, r, errPerUser, d.srv.users.check(name, most))
	}
	if err := d.srv.users.acquire(name, most); err != nil {
		if err := d.overConns(lr, r, errPerUser, err); err != nil {
			return err
		}
		_ = d.srv.users.acquire(name, 0) // no limit
	}
	q.name = name
	return nil
}

func (q quota) release(srv *Server) {
	if q.network != 0 {
		srv.perIP.Release(q.network)
	}
	if q.name != "" {
		srv.users.release(q.name)
	}
}

// overConns counts that a limit of connections has refused r, if err says so, and
// returns e as the refusal; nil in a dry run. A probe is not counted.
func (d *door) overConns(lr *loopRoute, r *upgrade.Request, e *upgrade.Rejection, err error) error {
	var over *limiter.ErrLimit
	if !errors.As(err, &over) {
		return nil
	}
	which := userConnsLimit
	switch {
	case e == errPerIP && over.RetryAfter > 0:
		which = ipConnRateLimit
	case e == errPerIP:
		which = ipConnsLimit
	}
	if !r.IsProbe() {
		d.decisionsOf(lr).count(which, refusal)
	}
	if d.policy.LimitDryRun {
		d.srv.logDryRun(r, which)
		return nil
	}
	return retry(e, err)
}

// countGuard counts a guard's 429.
func (d *door) countGuard(lr *loopRoute, err error) {
	var e *upgrade.Rejection
	if errors.As(err, &e) && e.Status == http.StatusTooManyRequests && e.Code == upgrade.CodeTooManyRequests {
		lr.decided.count(guardLimit, refusal)
	}
}

func (d *door) decisionsOf(lr *loopRoute) *decisions {
	if lr == nil {
		return &d.unrouted
	}
	return &lr.decided
}

// retry is e with the time to come back, spread so that clients that were refused
// together do not return together: from when the limit has room again, if it knows
// that. nil stays nil.
func retry(e *upgrade.Rejection, err error) error {
	if err == nil {
		return nil
	}
	var limit *limiter.ErrLimit
	if errors.As(err, &limit) && limit.RetryAfter > 0 {
		return e.WithRetryAfter(limit.RetryAfter + rand.N(max(limit.RetryAfter, 2*time.Second)))
	}
	return e.WithRetryAfter(jitter(5 * time.Second))
}

// jitter spreads clients that are told to come back over d to 2d.
func jitter(d time.Duration) time.Duration { return d + rand.N(d) }
