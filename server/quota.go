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

// quota is by what limits per address and user count a connection.
type quota struct {
	addr netip.Addr // zero: by none
	name string     // "": by none
}

// quotas asks the limits of connections that need no identity. A probe takes nothing. lr
// is nil if no route matches.
func (d *door) quotas(s link, lr *loopRoute, r *upgrade.Request) (q quota, err error) {
	switch {
	case d.srv.life.isDraining():
		return q, errDraining.WithRetryAfter(jitter(5 * time.Second))
	case s.Excess():
		return q, errFull.WithRetryAfter(jitter(5 * time.Second))
	case d.srv.MaxConnsPerIP <= 0 && d.srv.ConnRate.Unlimited() && d.srv.MessagesPerIP.Unlimited():
		return q, nil
	}
	addr := limiter.Network(r.RemoteAddr.Addr())
	if !addr.IsValid() {
		return q, nil // hung up already, or no IP socket
	}
	if r.IsProbe() {
		return q, d.overConns(lr, r, errPerIP, d.srv.perIP.Check(addr, d.Now()))
	}
	if err := d.srv.perIP.Acquire(addr, d.Now()); err != nil {
		if err := d.overConns(lr, r, errPerIP, err); err != nil {
			return q, err
		}
		d.srv.perIP.Add(addr)
	}
	if d.srv.MaxConnsPerIP <= 0 {
		d.srv.perIP.Release(addr) // it has come; how many there are does not matter
	}
	q.addr = addr
	return q, nil
}

// user asks the limit of the user's connections. A probe takes nothing.
func (q *quota) user(d *door, lr *loopRoute, r *upgrade.Request) error {
	if d.srv.MaxConnsPerUser <= 0 || r.Identity == nil || r.Identity.Subject == "" {
		return nil
	}
	name := r.Identity.Subject
	if r.IsProbe() {
		return d.overConns(lr, r, errPerUser, d.srv.perUser.Check(name, d.Now()))
	}
	if err := d.srv.perUser.Acquire(name, d.Now()); err != nil {
		if err := d.overConns(lr, r, errPerUser, err); err != nil {
			return err
		}
		d.srv.perUser.Add(name)
	}
	q.name = name
	return nil
}

func (q quota) release(srv *Server) {
	if q.addr.IsValid() && srv.MaxConnsPerIP > 0 {
		srv.perIP.Release(q.addr)
	}
	if q.name != "" {
		srv.perUser.Release(q.name)
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
	if d.srv.LimitDryRun {
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
