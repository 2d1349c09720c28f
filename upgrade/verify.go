package upgrade

import (
	"errors"
	"time"
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
// called from many at once, and must not block unless it is a SlowVerifier that
// has said so.
//
// ErrTokenExpired, or an error that wraps it, is answered 401 token_expired; a
// *Rejection as it says; every other error 401 token_invalid. None of their
// texts reaches the client but a Rejection's.
type Verifier interface {
	Verify(token []byte, now time.Time) (*Identity, error)
}

// SlowVerifier is a Verifier that knows which tokens take it long: more than a
// tenth of a millisecond of work, or any waiting. An event loop asks, and has
// Verify called elsewhere then; see Upgrader.IsSlow. IsSlow itself is quick.
type SlowVerifier interface {
	Verifier
	IsSlow(token []byte, now time.Time) bool
}

// ErrTokenExpired is what a Verifier returns for a token that was good once.
var ErrTokenExpired = errors.New("upgrade: token expired")

// HS256 returns a Verifier of JWTs signed with HMAC-SHA256 and secret, which it
// copies: a JWT with that one key. The secret has at least 32 bytes.
func HS256(secret []byte) (Verifier, error) {
	keys, err := NewKeySet(Key{Algorithm: "HS256", Key: append([]byte(nil), secret...)})
	if err != nil {
		return nil, err
	}
	return &JWT{Keys: keys}, nil
}
