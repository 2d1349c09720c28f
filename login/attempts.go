package login

import (
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/upgrade"
)

// attempts bounds how many passwords can be tried. Its methods are safe for any goroutine. A
// name may be as long as a request, and is not kept: a Keyed keeps no keys.
type attempts struct {
	now     func() time.Duration // since it was made
	pairs   limiter.Keyed[pairKey]
	users   limiter.Keyed[string]
	address limiter.Keyed[netip.Addr]
}

// pairKey is a user and the network from which somebody tries to log in as that user.
type pairKey struct {
	user    string
	network netip.Addr
}

// A user from one address has ten wrong passwords at once and ten a minute, whether there is
// such a user or not; an address, which may be that of a whole company, has thirty. A user
// from all addresses together has many, or a few strangers could keep the user out; the
// number bounds what a crowd of addresses can try.
var (
	pairFailures    = limiter.Rate{Limit: limiter.Every(6 * time.Second), Burst: 10}
	userFailures    = limiter.Rate{Limit: limiter.Every(600 * time.Millisecond), Burst: 1000}
	addressFailures = limiter.Rate{Limit: limiter.Every(2 * time.Second), Burst: 30}
)

func newAttempts() *attempts {
	begin := time.Now()
	a := &attempts{now: func() time.Duration { return time.Since(begin) }}
	a.pairs.Rate, a.users.Rate, a.address.Rate = pairFailures, userFailures, addressFailures
	return a
}

var rejectAttempts = upgrade.Reject(http.StatusTooManyRequests, upgrade.CodeTooManyRequests,
	"Too many attempts to log in.")

// try lets check judge a password, unless there were too many attempts.
func (a *attempts) try(remote netip.Addr, username string, check func() error) error {
	pair := pairKey{username, limiter.Network(remote)}
	if wait := a.take(pair); wait > 0 {
		return rejectAttempts.WithRetryAfter(wait)
	}
	err := check()
	if !errors.Is(err, ErrPassword) {
		a.giveBack(pair) // the password was right, or was not looked at
	}
	return err
}

// take counts an attempt and returns 0, or returns how long until one more is admitted.
func (a *attempts) take(p pairKey) time.Duration {
	now := a.now()
	if !a.address.AllowN(p.network, now, 1) {
		return a.address.WaitN(p.network, now, 1)
	}
	if !a.pairs.AllowN(p, now, 1) {
		a.address.CancelN(p.network, now, 1)
		return a.pairs.WaitN(p, now, 1)
	}
	if !a.users.AllowN(p.user, now, 1) {
		a.address.CancelN(p.network, now, 1)
		a.pairs.CancelN(p, now, 1)
		return a.users.WaitN(p.user, now, 1)
	}
	return 0
}

// giveBack uncounts an attempt that take has counted.
func (a *attempts) giveBack(p pairKey) {
	now := a.now()
	a.address.CancelN(p.network, now, 1)
	a.pairs.CancelN(p, now, 1)
	a.users.CancelN(p.user, now, 1)
}
