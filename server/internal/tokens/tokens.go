// Package tokens verifies the tokens of the server's tests. Package upgrade/jwt, which does
// so in programs, would bring golang-jwt to every program that embeds the server.
package tokens

import (
	"time"

	"github.com/usher-ws/usher/internal/jwt"
	"github.com/usher-ws/usher/upgrade"
)

// Verifier is an upgrade.Verifier of a secret.
type Verifier struct{ secret []byte }

// HS256 returns the Verifier of a secret.
func HS256(secret []byte) (*Verifier, error) { return &Verifier{secret}, nil }

// Verify is upgrade.Verifier's.
func (v *Verifier) Verify(token []byte, now time.Time) (*upgrade.Identity, error) {
	sub, exp, claims, err := jwt.Verify(token, v.secret, now)
	switch {
	case err == jwt.ErrTokenExpired:
		return nil, upgrade.ErrTokenExpired
	case err != nil:
		return nil, err
	}
	return &upgrade.Identity{Subject: sub, ExpiresAt: exp, Claims: claims}, nil
}
