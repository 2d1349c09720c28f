package upgrade

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/usher-ws/usher/internal/strict"
)

// parser takes tokens apart. Signatures are checked by the method it finds, and claims by
// us: a validator of its own for each token and its time would take half a microsecond.
var parser = jwt.NewParser(jwt.WithStrictDecoding())

func init() {
	// RFC 9864 §2.2: what "EdDSA" was for Ed25519. The method calls itself by the old name.
	if jwt.GetSigningMethod(fullEdDSA) == nil {
		jwt.RegisterSigningMethod(fullEdDSA, func() jwt.SigningMethod { return jwt.SigningMethodEdDSA })
	}
}

// reading is a token taken apart: a JWT's Verification. There is one for each token, and
// from it comes all that decides: what algorithm it is for, what keys may have signed it,
// whether that takes long to find out, and whom it speaks for.
type reading struct {
	door   *JWT
	text   string
	token  *jwt.Token
	claims jwt.MapClaims
	kid    string // "": it names no key
	err    error  // why it is no good whoever signed it

	subject         string
	begins, expires time.Time
	keys            *KeySet
	candidates      []knownKey // of keys, those that may have signed it
	unexplained     bool       // no key of keys has its kid, if it has one: a key we do not know may have signed it
}

// read takes a token apart.
func (v *JWT) read(token []byte, keys *KeySet) *reading {
	r := &reading{door: v, text: string(token), keys: keys}
	if r.err = r.parse(); r.err == nil {
		r.err = r.readClaims()
	}
	if r.err == nil {
		r.choose()
	}
	return r
}

// parse reads the header, the claims and the signature.
func (r *reading) parse() error {
	// base64 skips line breaks, so that one token would have many spellings.
	for i := 0; i < len(r.text); i++ {
		if c := r.text[i]; classes[c]&isBase64URL == 0 && c != '.' {
			return errors.New("upgrade: token has a byte that is neither base64url nor a dot")
		}
	}
	r.claims = jwt.MapClaims{}
	token, parts, err := parser.ParseUnverified(r.text, r.claims)
	if err != nil {
		return err
	}
	r.token = token
	for i, object := range []map[string]any{token.Header, r.claims} {
		text, err := parser.DecodeSegment(parts[i])
		if err == nil {
			err = strict.Check(text, object)
		}
		if err != nil {
			return fmt.Errorf("upgrade: token: %w", err)
		}
	}
	if _, ok := token.Header["crit"]; ok {
		return errors.New("upgrade: token requires an extension") // RFC 7515 §4.1.11
	}
	switch kid := token.Header["kid"].(type) {
	case nil: // some issuers write null, or "", where they have no name for the key
	case string:
		r.kid = kid
	default:
		return errors.New("upgrade: kid is not a string") // RFC 7515 §4.1.4
	}
	return nil
}

// readClaims reads those that a JWT looks at.
func (r *reading) readClaims() (err error) {
	if r.subject, err = r.claims.GetSubject(); err != nil || r.subject == "" {
		return errors.New("upgrade: token without sub")
	}
	if r.expires, err = r.date("exp"); err == nil && r.expires.IsZero() {
		err = errors.New("upgrade: token without exp")
	}
	if err == nil {
		r.begins, err = r.date("nbf")
	}
	if err == nil {
		_, err = r.date("iat")
	}
	return err
}

// lastDate is the end of the year 9999, beyond which times are not to be trusted.
const lastDate = 253402300799

// date returns the claim of this name, a time since 1970; the zero time if there is none.
// In UTC, a time has no pointer to its zone that the collector would follow.
func (r *reading) date(name string) (time.Time, error) {
	claim, claimed := r.claims[name]
	if !claimed {
		return time.Time{}, nil
	}
	seconds, ok := claim.(float64)
	if !ok || seconds < 0 || seconds > lastDate {
		return time.Time{}, fmt.Errorf("upgrade: token whose %s is not a time", name)
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*1e9)).UTC(), nil
}

// choose finds the keys that may have signed the token.
func (r *reading) choose() {
	algorithm := r.token.Method.Alg() // what Verify will check, whatever alg calls it
	var known bool
	r.candidates, known = r.keys.candidates(algorithm, r.kid)
	_, fixed := r.door.Keys.(*KeySet)
	r.unexplained = !known && !fixed && r.door.Keys != nil && !isHMAC(algorithm) && algorithm != "none"
}

// IsSlow is Verification's: it is slow to verify with a large key or many, and to ask a
// key server for one that is not known.
func (r *reading) IsSlow() bool {
	return r.err == nil && (r.unexplained || takesLong(r.candidates))
}

// Verify is Verification's.
func (r *reading) Verify(now time.Time) (*Identity, error) {
	switch {
	case r.err != nil:
		return nil, r.err
	case r.IsSlow():
		return nil, ErrSlow
	}
	return r.judge(now)
}

// costly bounds how many tokens are verified off the loops at once, so that a crowd of
// them leaves processors to the loops.
var costly = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))

// Wait is Verification's. It asks only about a token that none of the keys has signed.
func (r *reading) Wait(ctx context.Context, now time.Time) (*Identity, error) {
	if r.err != nil {
		return nil, r.err
	}
	id, err := r.judgeInTurn(ctx, now)
	if !r.unexplained || !errors.Is(err, errNoKey) {
		return id, err
	}
	if r.keys, err = r.door.Keys.Ask(ctx, r.kid); err != nil {
		return nil, err
	}
	r.choose()
	return r.judgeInTurn(ctx, now)
}

func (r *reading) judgeInTurn(ctx context.Context, now time.Time) (*Identity, error) {
	if len(r.candidates) == 0 {
		return nil, errNoKey
	}
	select {
	case costly <- struct{}{}:
		defer func() { <-costly }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return r.judge(now)
}

// errNoKey is why a token is refused that no key has signed.
var errNoKey = errors.New("upgrade: token that no key of ours has signed")

// judge checks the signature, and then all else.
func (r *reading) judge(now time.Time) (*Identity, error) {
	if !r.signed() {
		return nil, errNoKey
	}
	if err := r.door.validate(r.claims); err != nil {
		return nil, err
	}
	if now.Before(r.begins.Add(-r.door.Leeway)) {
		return nil, errors.New("upgrade: token is not good yet")
	}
	id := &Identity{Subject: r.subject, ExpiresAt: r.expires.Add(r.door.Leeway), Claims: r.claims}
	if !now.Before(id.ExpiresAt) {
		return nil, ErrTokenExpired
	}
	r.door.cache.keep(r.text, r.keys, id, now)
	return id, nil
}

// signed reports whether one of the candidates has signed the token.
func (r *reading) signed() bool {
	signed := r.text[:strings.LastIndexByte(r.text, '.')]
	for _, k := range r.candidates {
		if r.token.Method.Verify(signed, r.token.Signature, k.Key.Key) == nil {
			return true
		}
	}
	return false
}
