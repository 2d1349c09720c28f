package upgrade

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// JWT verifies JSON Web Tokens. exp and sub are required, nbf is honoured, a
// header with crit is refused. It remembers the tokens it found good, some 4,096
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

// parser is for all: it leaves the claims to us, as a validator of its own for each
// token and its time would take half a microsecond, and the algorithm to the keys.
var parser = jwt.NewParser(jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())

// lastExp is the end of the year 9999, beyond which times are not to be trusted.
const lastExp = 253402300799

// Verify is Verifier's.
func (v *JWT) Verify(token []byte, now time.Time) (*Identity, error) {
	keys := v.current()
	if id := v.cache.find(token, keys, now); id != nil {
		return id, nil
	}
	a := attempt{keys: keys}
	id, err := v.verify(string(token), now, &a)
	if err != nil && a.unexplained && v.Keys != nil {
		if keys, err = v.Keys.Ask(a.kid); err != nil {
			return nil, err
		}
		a = attempt{keys: keys}
		id, err = v.verify(string(token), now, &a)
	}
	if err == nil {
		v.cache.keep(token, keys, id, now)
	}
	return id, err
}

// IsSlow is SlowVerifier's: it is slow to verify with a large key, and to ask a
// key server for a key that is not known.
func (v *JWT) IsSlow(token []byte, now time.Time) bool {
	if v.neverSlow() {
		return false
	}
	keys := v.current()
	_, fixed := v.Keys.(*KeySet)
	if v.cache.find(token, keys, now) != nil {
		return false
	}
	h, ok := peek(token)
	if !ok {
		return false // and no good
	}
	candidates, named := keys.candidates(h.Algorithm, h.ID)
	for _, k := range candidates {
		if k.costly {
			return true
		}
	}
	return !fixed && !named && !isHMAC(h.Algorithm)
}

// neverSlow reports whether IsSlow is false for all tokens.
func (v *JWT) neverSlow() bool {
	keys, fixed := v.Keys.(*KeySet)
	return v.Keys == nil || fixed && (keys == nil || !keys.costly)
}

func (v *JWT) current() *KeySet {
	if v.Keys == nil {
		return nil
	}
	return v.Keys.Current()
}

// header is what decides which key a token is tried with.
type header struct {
	Algorithm string `json:"alg"`
	ID        string `json:"kid"`
}

// peek reads a token's header.
func peek(token []byte) (h header, ok bool) {
	part, _, ok := bytes.Cut(token, []byte{'.'})
	if !ok {
		return h, false
	}
	text := make([]byte, base64.RawURLEncoding.DecodedLen(len(part)))
	n, err := base64.RawURLEncoding.Decode(text, part)
	if err != nil || json.Unmarshal(text[:n], &h) != nil {
		return h, false
	}
	return h, jwt.GetSigningMethod(h.Algorithm) != nil
}

// attempt is one try to explain a token by a set of keys.
type attempt struct {
	keys *KeySet
	kid  string

	// unexplained: no key has the ID that the token names, if it names one, so
	// that a key we do not know may have signed it.
	unexplained bool

	busy bool // a place of costly is taken
}

// costly bounds how many costly verifications run at once, so that a crowd of
// them leaves processors to the loops.
var costly = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))

// verify does all but to remember.
func (v *JWT) verify(token string, now time.Time, a *attempt) (*Identity, error) {
	claims := jwt.MapClaims{}
	t, err := parser.ParseWithClaims(token, claims, a.find)
	if a.busy {
		<-costly
	}
	if err != nil {
		return nil, err
	}
	a.unexplained = false // it was signed by a key of ours
	if _, ok := t.Header["crit"]; ok {
		return nil, errors.New("upgrade: token requires an extension") // RFC 7515 §4.1.11
	}
	subject, err := claims.GetSubject()
	if err != nil || subject == "" {
		return nil, errors.New("upgrade: token without sub")
	}
	if err := v.validate(claims); err != nil {
		return nil, err
	}
	begins, err := claims.GetNotBefore()
	if err != nil || begins != nil && now.Before(begins.Add(-v.Leeway)) {
		return nil, errors.New("upgrade: token is not good yet")
	}
	expires, err := claims.GetExpirationTime()
	if err != nil || expires == nil || expires.Unix() > lastExp {
		return nil, errors.New("upgrade: token without a good exp")
	}
	// In UTC, a time has no pointer to its zone that the collector would follow.
	id := &Identity{Subject: subject, ExpiresAt: expires.Add(v.Leeway).UTC(), Claims: claims}
	if !now.Before(id.ExpiresAt) {
		return nil, ErrTokenExpired
	}
	return id, nil
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

// find is jwt.Keyfunc.
func (a *attempt) find(t *jwt.Token) (any, error) {
	algorithm := t.Method.Alg()
	kid, named := t.Header["kid"]
	if a.kid, _ = kid.(string); named && a.kid == "" {
		return nil, errors.New("upgrade: kid is not a name")
	}
	keys, known := a.keys.candidates(algorithm, a.kid)
	a.unexplained = !known && !isHMAC(algorithm) && algorithm != "none"
	if len(keys) == 0 {
		return nil, fmt.Errorf("upgrade: no key for %s", algorithm)
	}
	for _, k := range keys {
		if k.costly && !a.busy {
			costly <- struct{}{}
			a.busy = true
		}
	}
	if len(keys) == 1 {
		return keys[0].Key.Key, nil
	}
	var all jwt.VerificationKeySet
	for _, k := range keys {
		all.Keys = append(all.Keys, k.Key.Key)
	}
	return all, nil
}
