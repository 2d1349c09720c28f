package upgrade

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/usher-ws/usher/limiter"
)

// Verifier decides whether a token is good at a time. The token is valid until
// Verify returns. Verify is called on the goroutine that judges the request, may be
// called from many at once, and must not block.
//
// ErrTokenExpired, or an error that wraps it, is answered with 401 token_expired; a
// *Rejection as it says; every other error with 401 token_invalid. The client never sees
// the text of an error, except for a Rejection's.
//
// Package upgrade/jwt has the Verifier of JSON Web Tokens.
type Verifier interface {
	Verify(token []byte, now time.Time) (*Identity, error)
}

// SlowVerifier is a Verifier that takes long for some tokens: more than a tenth of a
// millisecond of work, or any waiting. Its Verify does neither, and returns ErrSlow for
// such a token. An event loop has them verified elsewhere; see Upgrader.IsSlow.
//
// If it also has a method NeverSlow() bool, Bearer asks it once. If it returns true, no
// token takes long, and the guard calls Verify alone, which is quicker than to Begin. A
// type that embeds such a Verifier inherits the answer.
type SlowVerifier interface {
	Verifier

	// Begin takes a token apart, which is quick, and judges nothing yet. The token is
	// valid until it returns. Where the token is verified, and with which key, follows
	// from this one reading.
	Begin(token []byte, now time.Time) Verification
}

// Verification is a token that was read and is not judged yet. Verify and Wait give the
// answers of a Verifier.
type Verification interface {
	// IsSlow reports whether only Wait can judge the token. It is quick.
	IsSlow() bool

	// Verify judges the token if that is quick; otherwise its error is ErrSlow.
	Verify(now time.Time) (*Identity, error)

	// Wait judges the token however long it takes, unless ctx ends first; the error is
	// then ctx's. It must not be called on an event loop.
	Wait(ctx context.Context, now time.Time) (*Identity, error)
}

var (
	// ErrTokenExpired is what a Verifier returns for a token that was good once.
	ErrTokenExpired = errors.New("upgrade: token expired")

	// ErrSlow is what Verify returns for a token that takes long to judge.
	ErrSlow = errors.New("upgrade: the token takes long to verify: have Upgrader.Prepare called where IsSlow says so, or use SlowVerifier.Begin and Wait")
)

// neverSlow reports whether none of v's tokens takes long.
func neverSlow(v Verifier) bool {
	if _, slow := v.(SlowVerifier); !slow {
		return true
	}
	n, ok := v.(interface{ NeverSlow() bool })
	return ok && n.NeverSlow()
}

// elsewhere is where tokens are verified off the loops, so many at a time in one process:
// those of upgrades and those of net/http. Addresses take turns, in one line for each of
// the two, so that a flood of one kind leaves room for the other. A place is given up when
// the client has gone.
var elsewhere = limiter.Turns[client]{Places: 64, Waiting: 1024}

// client is what has one turn after another: an address, at one of the two entrances.
type client struct {
	network netip.Addr
	http    bool // the request is for net/http, for a ticket perhaps, and no upgrade
}

// inTurn calls f when it is the client's turn. Errors of its own are 503s.
func inTurn(ctx context.Context, remote netip.AddrPort, http bool, f func()) error {
	switch err := elsewhere.Acquire(ctx, client{limiter.Network(remote.Addr()), http}); {
	case err == limiter.ErrFull:
		return errBusy.WithRetryAfter(time.Second + rand.N(2*time.Second))
	case err != nil:
		return undecided(err)
	}
	defer elsewhere.Release()
	f()
	return nil
}

var errBusy = Reject(503, CodeUnavailable, "Too many tokens are being verified at the moment.")
