// Package jwt signs and verifies the tokens of tests, in the names of golang-jwt. It needs
// the standard library alone: what the tests of a package import, go mod tidy fetches for
// every program that embeds the package.
package jwt

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"hash"
	"time"
)

// ErrTokenExpired is Verify's for a token that was good until its exp.
var ErrTokenExpired = errors.New("jwt: the token has expired")

var errInvalid = errors.New("jwt: the token is not valid")

// MapClaims are the claims of a token.
type MapClaims map[string]any

// SigningMethod is an algorithm of HMAC, or none.
type SigningMethod struct {
	alg  string
	hash func() hash.Hash
}

// The methods that there are.
var (
	SigningMethodHS256 = SigningMethod{"HS256", sha256.New}
	SigningMethodHS384 = SigningMethod{"HS384", sha512.New384}
	SigningMethodNone  = SigningMethod{alg: "none"}
)

// Token is what SignedString writes.
type Token struct {
	method SigningMethod
	claims MapClaims
}

// NewWithClaims returns a token that is not signed yet.
func NewWithClaims(m SigningMethod, claims MapClaims) Token { return Token{m, claims} }

// SignedString returns the token as it is sent.
func (t Token) SignedString(secret []byte) (string, error) {
	claims, err := json.Marshal(t.claims)
	if err != nil {
		return "", err
	}
	b := base64.RawURLEncoding.AppendEncode(nil, []byte(`{"alg":"`+t.method.alg+`","typ":"JWT"}`))
	b = base64.RawURLEncoding.AppendEncode(append(b, '.'), claims)
	mac := t.method.mac(b, secret)
	return string(base64.RawURLEncoding.AppendEncode(append(b, '.'), mac)), nil
}

func (m SigningMethod) mac(text, secret []byte) []byte {
	if m.hash == nil {
		return nil
	}
	h := hmac.New(m.hash, secret)
	h.Write(text)
	return h.Sum(nil)
}

// Verify returns the subject, the end and the claims of a token that was signed with HS256
// and the secret, and that is good now: it must have a sub and an exp.
func Verify(token, secret []byte, now time.Time) (sub string, exp time.Time, claims MapClaims, err error) {
	dot := bytes.LastIndexByte(token, '.')
	head, body, _ := bytes.Cut(token[:max(dot, 0)], []byte("."))
	var header struct{ Alg string }
	mac, err := base64.RawURLEncoding.Strict().AppendDecode(nil, token[dot+1:])
	if err != nil || !hmac.Equal(mac, SigningMethodHS256.mac(token[:max(dot, 0)], secret)) ||
		decode(head, &header) != nil || header.Alg != "HS256" || decode(body, &claims) != nil {
		return "", time.Time{}, nil, errInvalid
	}
	sub, _ = claims["sub"].(string)
	seconds, ends := claims["exp"].(float64)
	exp = time.Unix(int64(seconds), 0)
	notBefore, _ := claims["nbf"].(float64)
	switch {
	case sub == "", !ends, now.Before(time.Unix(int64(notBefore), 0)):
		return "", time.Time{}, nil, errInvalid
	case !now.Before(exp):
		return "", time.Time{}, nil, ErrTokenExpired
	}
	return sub, exp, claims, nil
}

func decode(part []byte, v any) error {
	b, err := base64.RawURLEncoding.Strict().AppendDecode(nil, part)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}
