package upgrade

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Identity is whom a token speaks for. It owns its memory: nothing in it
// refers to the token. It may be shared by connections and is then read only.
type Identity struct {
	Subject   string
	ExpiresAt time.Time
	Claims    map[string]any // all of the token's claims, as encoding/json reads them
}

// Verifier decides whether a token is good at a time. The token is valid until
// Verify returns. It is called on the goroutine that judges the request, must
// not block, and may be called from many at once.
//
// ErrTokenExpired, or an error that wraps it, is answered 401 token_expired; a
// *Rejection as it says; every other error 401 token_invalid. None of their
// texts reaches the client but a Rejection's.
type Verifier interface {
	Verify(token []byte, now time.Time) (*Identity, error)
}

// ErrTokenExpired is what a Verifier returns for a token that was good once.
var ErrTokenExpired = errors.New("upgrade: token expired")

// minSecret is RFC 7518 §3.2: a key as long as the hash's output, or longer.
const minSecret = 32

// HS256 returns a Verifier of JWTs signed with HMAC-SHA256 and secret, which it
// copies. No other algorithm is accepted, whatever the token's header says;
// exp and sub are required, nbf is honoured. The secret has at least 32 bytes.
func HS256(secret []byte) (Verifier, error) {
	if len(secret) < minSecret {
		return nil, fmt.Errorf("upgrade: an HS256 secret needs at least %d bytes, this one has %d", minSecret, len(secret))
	}
	return &hs256{
		secret: append([]byte(nil), secret...),
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
			jwt.WithStrictDecoding(),
			jwt.WithoutClaimsValidation(), // Verify does it, with its own now
		),
	}, nil
}

type hs256 struct {
	secret []byte
	parser *jwt.Parser
}

func (v *hs256) Verify(token []byte, now time.Time) (*Identity, error) {
	claims := jwt.MapClaims{}
	t, err := v.parser.ParseWithClaims(string(token), claims, v.key)
	if err != nil {
		return nil, err
	}
	if _, ok := t.Header["crit"]; ok {
		return nil, errors.New("upgrade: token requires an extension") // RFC 7515 §4.1.11
	}
	valid := jwt.NewValidator(jwt.WithExpirationRequired(), jwt.WithTimeFunc(func() time.Time { return now }))
	if err := valid.Validate(claims); err != nil {
		if errors.Is(err, jwt.ErrTokenExpired) {
			return nil, ErrTokenExpired
		}
		return nil, err
	}
	subject, err := claims.GetSubject()
	if err != nil || subject == "" {
		return nil, errors.New("upgrade: token without sub")
	}
	expires, err := claims.GetExpirationTime()
	if err != nil || expires == nil {
		return nil, errors.New("upgrade: token without exp")
	}
	return &Identity{Subject: subject, ExpiresAt: expires.Time, Claims: claims}, nil
}

func (v *hs256) key(*jwt.Token) (any, error) { return v.secret, nil }
