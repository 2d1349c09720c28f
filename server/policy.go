//go:build linux

package server

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/upgrade"
)

// Policy is what of a Server's settings can change while it runs: whom it lets in, and how much
// they may say. Its fields mean what those of Server and Route mean that have their names, with
// the same defaults. Start makes the first Policy of those; SetPolicy replaces it.
type Policy struct {
	MaxConns        int
	MaxConnsPerIP   int
	MaxConnsPerUser int
	ConnRate        limiter.Rate

	MessagesPerUser limiter.Rate
	MessagesPerIP   limiter.Rate
	LimitDryRun     bool

	MaxHead    int
	MaxMessage int
	Origins    []string

	Routes map[string]RoutePolicy // by their patterns; a route that is not here keeps what it has
}

// RoutePolicy is what of a Route can change while its Server runs.
type RoutePolicy struct {
	Guards []upgrade.Guard
	Limits Limits
}

// policy is a Policy as the loops go by it. It never changes, and all loops share it.
type policy struct {
	Policy
	connLimit      int                // MaxConns, or what there is room for
	doors          []upgrade.Upgrader // of the routes
	limits         []Limits           // of the routes
	sharesMessages bool               // MessagesPerUser or MessagesPerIP is set
	countsByIP     bool               // connections, or their messages, are limited by address
	isOdd          bool               // every other one is: see repace
}

// Policy returns what the server goes by, before Start what it would start with. What it
// returns is the caller's to change, but for what its slices and functions refer to. Safe for
// any goroutine.
func (s *Server) Policy() Policy {
	if p := s.policy.Load(); p != nil {
		now := p.Policy
		now.Origins, now.Routes = slices.Clone(now.Origins), maps.Clone(now.Routes)
		return now
	}
	first := Policy{
		MaxConns: s.MaxConns, MaxConnsPerIP: s.MaxConnsPerIP, MaxConnsPerUser: s.MaxConnsPerUser, ConnRate: s.ConnRate,
		MessagesPerUser: s.MessagesPerUser, MessagesPerIP: s.MessagesPerIP, LimitDryRun: s.LimitDryRun,
		MaxHead: s.MaxHead, MaxMessage: s.MaxMessage, Origins: slices.Clone(s.Origins),
		Routes: make(map[string]RoutePolicy, len(s.routes)),
	}
	for _, r := range s.routes {
		first.Routes[r.pattern.String()] = RoutePolicy{r.Guards, r.Limits}
	}
	return first
}

// SetPolicy goes over to another Policy, all of it or, with an error, none. It returns when
// all loops go by it and each connection that was there does:
//
//	p := srv.Policy()
//	p.MaxConnsPerUser = 4
//	err := srv.SetPolicy(p)
//
// A request is judged by one Policy from its head to its answer, also if that takes time. No
// connection is closed. What one has used of its rates stays used, at most a whole burst of
// the new rate; one that a limit delays is asked again; and from the next message on the new
// limits count, MaxMessage for one that is under way, too. Fewer places take none away:
// those that have one keep it.
//
// The errors are of a Policy that could not be started with, of a pattern that is no route's,
// and of a server that does not run; ErrFiles for a MaxConns that there is no room for; and
// ErrOnLoop in a callback, which the loop cannot wait for. It is safe for any other goroutine.
// It waits for another call that is under way, and while a callback holds up a loop.
func (s *Server) SetPolicy(next Policy) error {
	if s.here() != nil {
		return ErrOnLoop
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	if s.life.phase() != running {
		return s.life.not(running)
	}
	now := s.policy.Load()
	for pattern, r := range now.Routes {
		if _, ok := next.Routes[pattern]; !ok {
			next.Routes = with(next.Routes, pattern, r)
		}
	}
	p, err := s.newPolicy(next)
	if err != nil {
		return err
	}
	p.isOdd = !now.isOdd
	s.follow(p)
	return nil
}

// begin makes the first policy.
func (s *Server) begin() (first *policy, err error) {
	s.setRoom()
	if first, err = s.newPolicy(s.Policy()); err == nil {
		s.policy.Store(first)
	}
	return first, err
}

// with returns a copy of routes with one more.
func with(routes map[string]RoutePolicy, pattern string, r RoutePolicy) map[string]RoutePolicy {
	all := maps.Clone(routes)
	if all == nil {
		all = make(map[string]RoutePolicy)
	}
	all[pattern] = r
	return all
}

// newPolicy returns p as the loops need it, or what can never work in it.
func (s *Server) newPolicy(p Policy) (*policy, error) {
	if p.MaxHead < 0 || p.MaxHead > upgrade.MaxHeaderLimit {
		return nil, fmt.Errorf("server: MaxHead is %d: want 1 to %d, or 0 for 16 KiB", p.MaxHead, upgrade.MaxHeaderLimit)
	}
	made := &policy{Policy: p, connLimit: s.room}
	if want := max(p.MaxConns, 1); s.room < want {
		return nil, s.errFiles(want)
	}
	if p.MaxConns > 0 {
		made.connLimit = p.MaxConns
	}
	made.Origins, made.Routes = slices.Clone(p.Origins), maps.Clone(p.Routes)
	made.sharesMessages = !p.MessagesPerUser.Unlimited() || !p.MessagesPerIP.Unlimited()
	made.countsByIP = p.MaxConnsPerIP > 0 || !p.MessagesPerIP.Unlimited()
	for _, r := range s.routes {
		of := p.Routes[r.pattern.String()]
		if err := made.checkRelay(r, &of.Limits); err != nil {
			return nil, err
		}
		door := upgrade.Upgrader{
			Guards:       slices.Clone(of.Guards),
			Subprotocols: r.Subprotocols,
			AcceptClose:  r.AcceptClose,
			Origins:      made.Origins,
			Deflate:      s.Deflate,
		}
		if err := door.Validate(); err != nil {
			return nil, fmt.Errorf("server: route %s: %w", r.pattern, err)
		}
		made.doors, made.limits = append(made.doors, door), append(made.limits, of.Limits)
	}
	for pattern := range p.Routes {
		if !slices.ContainsFunc(s.routes, func(r *route) bool { return r.pattern.String() == pattern }) {
			return nil, fmt.Errorf("server: there is no route %q", pattern)
		}
	}
	return made, nil
}

// checkRelay looks for what can never work in the limits of a route that is relayed.
func (p *policy) checkRelay(r *route, of *Limits) error {
	switch {
	case r.Relay == nil:
	case of.Cost != nil:
		return fmt.Errorf("server: route %s: what is relayed costs the same for each message", r.pattern)
	case r.Relay.WarnText == "" && of.Over == Warn && (of.any() || p.sharesMessages):
		return fmt.Errorf("server: route %s: what is relayed can be warned of limits with a WarnText only", r.pattern)
	}
	return nil
}

// follow has all loops go over to p, and waits for them. What loops share changes first.
func (s *Server) follow(p *policy) {
	now := time.Since(s.engine.Origin())
	s.arrivals.SetRate(p.ConnRate, now)
	s.userMessages.SetRate(p.MessagesPerUser, now)
	s.ipMessages.SetRate(p.MessagesPerIP, now)
	s.engine.SetLimits(p.connLimit, p.asksAtAccept())
	s.policy.Store(p)
	s.tour(s.loops, func(l *loop) { l.follow(p) }, (*loop).goOver)
}

// asksAtAccept reports whether an address may be over a limit when it is accepted.
func (p *policy) asksAtAccept() bool {
	return !p.LimitDryRun && (p.MaxConnsPerIP > 0 || !p.ConnRate.Unlimited())
}
