package jwt

import (
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"
	"github.com/usher-ws/usher/upgrade"
)

// Verifier verifies JSON Web Tokens: it is an upgrade.Verifier, and a SlowVerifier. It
// requires exp and sub, and honours nbf. It refuses a token whose header has crit, and one
// that two parsers could read in two ways. It remembers some thousands of the tokens that it
// found good, until Keys changes: of one that comes again it does not verify the signature
// any more, and of one that comes often it knows the Identity. All that takes half a
// mebibyte at most. Use a pointer to a Verifier, and do not change its fields afterwards. Safe
// for any goroutine.
type Verifier struct {
	Keys     Keys          // none: no token is good
	Issuer   string        // what iss must be; "": anything
	Audience string        // what aud must name; "": anything
	Leeway   time.Duration // how much exp and nbf may be off

	seen   seen                   // tokens that have come
	cache  cache                  // tokens that have come again
	header atomic.Pointer[header] // of the last token that was found good
}

// HS256 returns a Verifier of tokens that are signed with HMAC-SHA256 and secret, which it
// copies. The secret has at least 32 bytes.
func HS256(secret []byte) (*Verifier, error) {
	keys, err := NewKeySet(Key{Algorithm: "HS256", Key: append([]byte(nil), secret...)})
	if err != nil {
		return nil, err
	}
	return &Verifier{Keys: keys}, nil
}

// Verify is upgrade.Verifier's. Its error is upgrade.ErrSlow for a token that takes long:
// with a large key or many, or if only a key server could know the key. Use Begin and Wait
// for those.
func (v *Verifier) Verify(token []byte, now time.Time) (*upgrade.Identity, error) {
	keys := v.current()
	if known := v.cache.find(token, keys, now); known != nil {
		return known.id, nil
	}
	return v.read(token, keys).Verify(now)
}

// Begin is upgrade.SlowVerifier's.
func (v *Verifier) Begin(token []byte, now time.Time) upgrade.Verification {
	keys := v.current()
	if known := v.cache.find(token, keys, now); known != nil {
		return known
	}
	return v.read(token, keys)
}

// NeverSlow is what upgrade.SlowVerifier asks for: it reports whether no token takes long,
// because the keys are known, few and quick.
func (v *Verifier) NeverSlow() bool {
	keys := v.current()
	return v.Keys == nil || v.isFixed() && (keys == nil || !keys.slow)
}

// isFixed reports whether there can be no keys beside the current ones.
func (v *Verifier) isFixed() bool {
	switch keys := v.Keys.(type) {
	case *KeySet:
		return true
	case interface{ Fixed() bool }:
		return keys.Fixed()
	}
	return false
}

func (v *Verifier) current() *KeySet {
	if v.Keys == nil {
		return nil
	}
	return v.Keys.Current()
}

// remember keeps the header of a token that was found good, for the next that has the same.
func (v *Verifier) remember(h *header) {
	if v.header.Load() != h {
		v.header.Store(&header{strings.Clone(h.text), h.method, h.kid})
	}
}

// validate judges the issuer and the audience.
func (v *Verifier) validate(claims gojwt.MapClaims) error {
	if v.Issuer != "" {
		if issuer, err := claims.GetIssuer(); err != nil || issuer != v.Issuer {
			return errors.New("jwt: token of another issuer")
		}
	}
	if v.Audience != "" {
		if audience, err := claims.GetAudience(); err != nil || !slices.Contains(audience, v.Audience) {
			return errors.New("jwt: token for another audience")
		}
	}
	return nil
}
