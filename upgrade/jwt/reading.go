package jwt

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"
	"github.com/usher-ws/usher/internal/strict"
	"github.com/usher-ws/usher/upgrade"
)

// parser decodes the parts of a token. The method of golang-jwt that the header names checks the
// signature, and we check the claims: golang-jwt would read each header anew, which takes two
// microseconds, and make a validator for each token and time.
var parser = gojwt.NewParser(gojwt.WithStrictDecoding())

func init() {
	// RFC 9864 §2.2: the new name of what was "EdDSA" with Ed25519. The method itself still
	// goes by the old name.
	if gojwt.GetSigningMethod(fullEdDSA) == nil {
		gojwt.RegisterSigningMethod(fullEdDSA, func() gojwt.SigningMethod { return gojwt.SigningMethodEdDSA })
	}
}

// reading is a token taken apart: a Verifier's Verification. Each token is read once, and
// everything that decides comes from this one reading: its algorithm, the keys that may have
// signed it, whether it takes long to find out if one did, and whom the token speaks for.
type reading struct {
	by        *Verifier
	text      string
	header    *header
	claims    gojwt.MapClaims
	object    string // the text of claims
	signature []byte
	err       error // why it is no good, whoever signed it

	subject         string
	begins, expires time.Time
	keys            *KeySet
	candidates      []knownKey // the keys that may have signed it
	unexplained     bool       // none of the keys has its kid: a key that we do not know may have signed it

	digest digest
	seen   bool // it has come before, and one of the keys has signed it
}

// read takes a token apart.
func (v *Verifier) read(token []byte, keys *KeySet) *reading {
	r := &reading{by: v, text: string(token), keys: keys}
	if r.err = r.parse(); r.err == nil {
		r.err = r.readClaims()
	}
	if r.err == nil {
		r.choose()
		r.digest = sha256.Sum256(token)
		r.seen = v.seen.has(&r.digest, keys)
	}
	return r
}

// header is a token's header, which its issuer's other tokens have, too.
type header struct {
	text   string
	method gojwt.SigningMethod
	kid    string // "": it names no key
}

// parse reads the header, the claims and the signature.
func (r *reading) parse() (err error) {
	// Decoders of base64 skip line breaks: one token would have many spellings.
	for i := 0; i < len(r.text); i++ {
		if c := r.text[i]; !isBase64URL(c) && c != '.' {
			return errors.New("jwt: token has a byte that is neither base64url nor a dot")
		}
	}
	head, rest, _ := strings.Cut(r.text, ".")
	claims, signature, _ := strings.Cut(rest, ".")
	if strings.Count(r.text, ".") != 2 {
		return errors.New("jwt: token has not three parts")
	}
	if r.header = r.by.header.Load(); r.header == nil || r.header.text != head {
		if r.header, err = readHeader(head); err != nil {
			return err
		}
	}
	object, text, err := readObject(claims)
	if err != nil {
		return err
	}
	r.claims, r.object = object, string(text)
	r.signature, err = parser.DecodeSegment(signature)
	return err
}

// readHeader reads the first part of a token.
func readHeader(text string) (*header, error) {
	object, _, err := readObject(text)
	if err != nil {
		return nil, err
	}
	if _, ok := object["crit"]; ok {
		return nil, errors.New("jwt: token requires an extension") // RFC 7515 §4.1.11
	}
	h := &header{text: text}
	switch kid := object["kid"].(type) {
	case nil: // some issuers write null, or "", where they have no name for the key
	case string:
		h.kid = kid
	default:
		return nil, errors.New("jwt: kid is not a string") // RFC 7515 §4.1.4
	}
	algorithm, _ := object["alg"].(string)
	if h.method = gojwt.GetSigningMethod(algorithm); h.method == nil {
		return nil, errors.New("jwt: token of an algorithm that there is not")
	}
	return h, nil
}

// readObject reads a part of a token that is a JSON object, and returns its text, too.
func readObject(part string) (object map[string]any, text []byte, err error) {
	if text, err = parser.DecodeSegment(part); err == nil {
		object, err = strict.Object(text)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("jwt: token: %w", err)
	}
	return object, text, nil
}

// isBase64URL reports whether c is a digit of base64url, RFC 4648 §5.
func isBase64URL(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// readClaims reads the claims that a Verifier judges.
func (r *reading) readClaims() (err error) {
	if r.subject, err = r.claims.GetSubject(); err != nil || r.subject == "" {
		return errors.New("jwt: token without sub")
	}
	if r.expires, err = r.date("exp"); err == nil && r.expires.IsZero() {
		err = errors.New("jwt: token without exp")
	}
	if err == nil {
		r.begins, err = r.date("nbf")
	}
	if err == nil {
		_, err = r.date("iat")
	}
	return err
}

// lastDate is the end of the year 9999. A later time is a mistake or an attack.
const lastDate = 253402300799

// date returns the claim of this name, which is in seconds since 1970; the zero time if
// there is none. In UTC, a time holds no pointer for the garbage collector to follow.
func (r *reading) date(name string) (time.Time, error) {
	claim, claimed := r.claims[name]
	if !claimed {
		return time.Time{}, nil
	}
	seconds, ok := claim.(float64)
	if !ok || seconds < 0 || seconds > lastDate {
		return time.Time{}, fmt.Errorf("jwt: token whose %s is not a time", name)
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*1e9)).UTC(), nil
}

// choose finds the keys that may have signed the token.
func (r *reading) choose() {
	algorithm := r.header.method.Alg() // what Verify will check, whatever alg calls it
	var known bool
	r.candidates, known = r.keys.candidates(algorithm, r.header.kid)
	r.unexplained = !known && r.by.Keys != nil && !r.by.isFixed() && !isHMAC(algorithm) && algorithm != "none"
}

// IsSlow is upgrade.Verification's: a large key is slow, and so are many, and a key that
// only a key server may know; but not for a token that has come before.
func (r *reading) IsSlow() bool {
	return r.err == nil && !r.seen && (r.unexplained || takesLong(r.candidates))
}

// Verify is upgrade.Verification's.
func (r *reading) Verify(now time.Time) (*upgrade.Identity, error) {
	switch {
	case r.err != nil:
		return nil, r.err
	case r.IsSlow():
		return nil, upgrade.ErrSlow
	}
	return r.judge(now)
}

// costly bounds how many tokens are verified off the loops at a time, so that however many
// there are, the loops keep half of the processors.
var costly = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))

// Wait is upgrade.Verification's. It asks for further keys only if none of the present ones
// has signed the token.
func (r *reading) Wait(ctx context.Context, now time.Time) (*upgrade.Identity, error) {
	if r.err != nil {
		return nil, r.err
	}
	id, err := r.judgeInTurn(ctx, now)
	if !r.unexplained || !errors.Is(err, errNoKey) {
		return id, err
	}
	if r.keys, err = r.by.Keys.Ask(ctx, r.header.kid); err != nil {
		return nil, err
	}
	r.choose()
	return r.judgeInTurn(ctx, now)
}

func (r *reading) judgeInTurn(ctx context.Context, now time.Time) (*upgrade.Identity, error) {
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

// errNoKey refuses a token that none of the keys has signed.
var errNoKey = errors.New("jwt: token that no key of ours has signed")

// judge checks the signature, and then everything else.
func (r *reading) judge(now time.Time) (*upgrade.Identity, error) {
	if !r.signed() {
		return nil, errNoKey
	}
	if err := r.by.validate(r.claims); err != nil {
		return nil, err
	}
	if now.Before(r.begins.Add(-r.by.Leeway)) {
		return nil, errors.New("jwt: token is not good yet")
	}
	id := upgrade.NewIdentity(r.subject, r.expires.Add(r.by.Leeway), r.claims, r.object)
	if !now.Before(id.ExpiresAt) {
		return nil, upgrade.ErrTokenExpired
	}
	r.by.remember(r.header)
	if r.seen {
		r.by.cache.keep(r.text, r.keys, id, now)
	} else {
		r.by.seen.add(&r.digest, r.keys)
	}
	return id, nil
}

// signed reports whether one of the candidates has signed the token.
func (r *reading) signed() bool {
	if r.seen {
		return true
	}
	signed := r.text[:strings.LastIndexByte(r.text, '.')]
	for _, k := range r.candidates {
		if r.header.method.Verify(signed, r.signature, k.Key.Key) == nil {
			return true
		}
	}
	return false
}
