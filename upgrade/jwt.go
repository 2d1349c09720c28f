package upgrade

import (
	"errors"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// JWT verifies JSON Web Tokens. exp and sub are required, nbf is honoured, a
// header with crit is refused, and so is a token that two parsers could read in two
// ways. It remembers the tokens it found good, some 4,096
// of them, until they expire or Keys changes; a token that is remembered costs a
// hash and a comparison. Use a pointer to one, and do not change its fields
// afterwards. It is safe for any goroutine.
type JWT struct {
	Keys     Keys          // none: no token is good
	Issuer   string        // what iss must be; "": anything
	Audience string        // what aud must name; "": anything
	Leeway   time.Duration // how much exp and nbf may be off

	cache tokenCache
}

// Verify is Verifier's. For a token that takes long it is ErrSlow: with a large key or
// many, and when only a key server could know the key. Begin and Wait judge those.
func (v *JWT) Verify(token []byte, now time.Time) (*Identity, error) {
	keys := v.current()
	if known := v.cache.find(token, keys, now); known != nil {
		return known.id, nil
	}
	return v.read(token, keys).Verify(now)
}

// Begin is SlowVerifier's.
func (v *JWT) Begin(token []byte, now time.Time) Verification {
	keys := v.current()
	if known := v.cache.find(token, keys, now); known != nil {
		return known
	}
	return v.read(token, keys)
}

// neverSlow reports whether no token takes long.
func (v *JWT) neverSlow() bool {
	keys, fixed := v.Keys.(*KeySet)
	return v.Keys == nil || fixed && (keys == nil || !keys.slow)
}

func (v *JWT) current() *KeySet {
	if v.Keys == nil {
		return nil
	}
	return v.Keys.Current()
}

// validate judges the issuer and the audience.
func (v *JWT) validate(claims jwt.MapClaims) error {
	if v.Issuer != "" {
		if issuer, err := claims.GetIssuer(); err != nil || issuer != v.Issuer {
			return errors.New("upgrade: token of another issuer")
		}
	}
	if v.Audience != "" {
		if audience, err := claims.GetAudience(); err != nil || !slices.Contains(audience, v.Audience) {
			return errors.New("upgrade: token for another audience")
		}
	}
	return nil
}
