//go:build linux

package chat

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/upgrade"
)

// attempts keeps passwords from being tried out. Its methods are safe for any
// goroutine.
type attempts struct {
	now     func() time.Duration // since it was made
	users   limiter.Keyed[userKey]
	address limiter.Keyed[netip.Addr]
}

// userKey is a digest of a name, which may be as long as a request.
type userKey [16]byte

// Ten wrong passwords at once and ten a minute for a user, whether there is one of that
// name or not; thirty for an address, which may be that of a whole company.
var (
	userFailures    = limiter.Rate{Limit: limiter.Every(6 * time.Second), Burst: 10}
	addressFailures = limiter.Rate{Limit: limiter.Every(2 * time.Second), Burst: 30}
)

func newAttempts() *attempts {
	begin := time.Now()
	a := &attempts{now: func() time.Duration { return time.Since(begin) }}
	a.users.Rate, a.address.Rate = userFailures, addressFailures
	return a
}

var rejectAttempts = upgrade.Reject(http.StatusTooManyRequests, upgrade.CodeTooManyRequests,
	"Too many attempts to log in.")

// try has check decide about a password, unless there were too many attempts.
func (a *attempts) try(r *http.Request, username string, check func() error) error {
	now := a.now()
	remote, _ := netip.ParseAddrPort(r.RemoteAddr)
	addr := limiter.Network(remote.Addr())
	if !a.address.AllowN(addr, now, 1) {
		return rejectAttempts.WithRetryAfter(a.address.WaitN(addr, now, 1))
	}
	digest := sha256.Sum256([]byte(username))
	user := userKey(digest[:len(userKey{})])
	if !a.users.AllowN(user, now, 1) {
		a.address.CancelN(addr, now, 1)
		return rejectAttempts.WithRetryAfter(a.users.WaitN(user, now, 1))
	}
	err := check()
	if errors.Is(err, ErrPassword) {
		return err
	}
	// The password was right, or nobody has looked at it.
	a.address.CancelN(addr, a.now(), 1)
	a.users.CancelN(user, a.now(), 1)
	return err
}
