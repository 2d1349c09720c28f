package upgrade

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/usher-ws/usher/limiter"
)

// Identity is whom a token speaks for. It owns its memory: nothing in it
// refers to the token. It may be shared by connections and is then read only.
type Identity struct {
	Subject   string
	ExpiresAt time.Time      // exp and the leeway; from then on the token is no good
	Claims    map[string]any // all of the token's claims, as encoding/json reads them
}

// Verifier decides whether a token is good at a time. The token is valid until
// Verify returns. It is called on the goroutine that judges the request, may be
// called from many at once, and must not block.
//
// ErrTokenExpired, or an error that wraps it, is answered 401 token_expired; a
// *Rejection as it says; every other error 401 token_invalid. None of their
// texts reaches the client but a Rejection's.
type Verifier interface {
	Verify(token []byte, now time.Time) (*Identity, error)
}

// SlowVerifier is a Verifier that takes long for some tokens: more than a tenth of a
// millisecond of work, or any waiting. Its Verify does neither, and answers ErrSlow for
// those. An event loop has them verified elsewhere; see Upgrader.IsSlow.
type SlowVerifier interface {
	Verifier

	// Begin takes a token apart, which is quick, and judges nothing yet. The token is
	// valid until it returns. What decides where a token is verified and what it is
	// verified by come from this one reading.
	Begin(token []byte, now time.Time) Verification
}

// Verification is a token that was read and not judged yet. Verify and Wait give the
// answers of a Verifier.
type Verification interface {
	// IsSlow reports whether it takes Wait to judge the token. It is quick.
	IsSlow() bool

	// Verify judges the token if that is quick; its error is ErrSlow if not.
	Verify(now time.Time) (*Identity, error)

	// Wait judges the token whatever it takes, unless ctx ends before that; the error
	// is ctx's then. It is not for event loops.
	Wait(ctx context.Context, now time.Time) (*Identity, error)
}

var (
	// ErrTokenExpired is what a Verifier returns for a token that was good once.
	ErrTokenExpired = errors.New("upgrade: token expired")

	// ErrSlow is what Verify returns for a token that it takes long to judge.
	ErrSlow = errors.New("upgrade: the token takes long to verify: have Upgrader.Prepare called where IsSlow says so, or use SlowVerifier.Begin and Wait")
)

// HS256 returns a Verifier of JWTs signed with HMAC-SHA256 and secret, which it
// copies: a JWT with that one key. The secret has at least 32 bytes.
func HS256(secret []byte) (Verifier, error) {
	keys, err := NewKeySet(Key{Algorithm: "HS256", Key: append([]byte(nil), secret...)})
	if err != nil {
		return nil, err
	}
	return &JWT{Keys: keys}, nil
}

// elsewhere is where tokens are verified off the loops: for upgrades and for tickets, in
// one process, so many at once. Each address has a turn after another's, in a line for
// either way in, so that a flood at one leaves room for the other. A place is given up
// when the client has gone.
var elsewhere = limiter.Turns[client]{Places: 64, Waiting: 1024}

// client is who shares a line.
type client struct {
	network netip.Addr
	ticket  bool // asks for one
}

// inTurn calls f when it is the client's turn. Its own errors are 503s.
func inTurn(ctx context.Context, remote netip.AddrPort, ticket bool, f func()) error {
	switch err := elsewhere.Acquire(ctx, client{limiter.Network(remote.Addr()), ticket}); {
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
