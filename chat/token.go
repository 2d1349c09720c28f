//go:build linux

package chat

import (
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Token is what a token of the chat says.
type Token struct {
	Subject  string        // who it is for: the member's name
	Rooms    []string      // the rooms it opens; nil: all of them, empty: none
	Issuer   string        // who made it; "": it does not say
	Audience string        // whom it is meant for; "": it does not say
	Issued   time.Time     // when it was made, to the second
	TTL      time.Duration // for how long it is good from then on
}

// Sign returns the token as a JWT signed with HS256 and secret.
func (t Token) Sign(secret []byte) (string, error) { return t.SignAs("HS256", secret, "") }

// SignAs returns the token as a JWT. The key is a []byte for HS256 and its like,
// else a private key that fits the algorithm. kid is the key's name, "" for none.
func (t Token) SignAs(algorithm string, key any, kid string) (string, error) {
	method := jwt.GetSigningMethod(algorithm)
	if method == nil || method == jwt.SigningMethodNone {
		return "", fmt.Errorf("chat: cannot sign with %q", algorithm)
	}
	claims := jwt.MapClaims{
		"sub": t.Subject,
		"iat": jwt.NewNumericDate(t.Issued),
		"exp": jwt.NewNumericDate(t.Issued.Add(t.TTL)),
	}
	if t.Rooms != nil {
		claims["rooms"] = t.Rooms
	}
	if t.Issuer != "" {
		claims["iss"] = t.Issuer
	}
	if t.Audience != "" {
		claims["aud"] = t.Audience
	}
	token := jwt.NewWithClaims(method, claims)
	if kid != "" {
		token.Header["kid"] = kid
	}
	return token.SignedString(key)
}
