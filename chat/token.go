//go:build linux

package chat

import (
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Token is what a token of the chat says.
type Token struct {
	Subject string        // who it is for: the member's name
	Rooms   []string      // the rooms it opens; nil: all of them, empty: none
	Issued  time.Time     // when it was made, to the second
	TTL     time.Duration // for how long it is good from then on
}

// Sign returns the token as a JWT signed with HS256 and secret.
func (t Token) Sign(secret []byte) (string, error) {
	claims := jwt.MapClaims{
		"sub": t.Subject,
		"iat": jwt.NewNumericDate(t.Issued),
		"exp": jwt.NewNumericDate(t.Issued.Add(t.TTL)),
	}
	if t.Rooms != nil {
		claims["rooms"] = t.Rooms
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(secret)
}
