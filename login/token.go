package login

import (
	"fmt"
	"maps"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"
)

// Token is what a token says.
type Token struct {
	Subject  string         // the user it is for, claim sub
	Issuer   string         // claim iss; "": it does not say
	Audience string         // claim aud; "": it does not say
	Issued   time.Time      // when it was made, to the second
	TTL      time.Duration  // for how long it is good from then on
	Claims   map[string]any // further claims; the fields above come first
}

// Sign returns the token as a JWT signed with HS256 and secret.
func (t Token) Sign(secret []byte) (string, error) { return t.SignAs("HS256", secret, "") }

// SignAs returns the token as a JWT. The key is a []byte for HS256 and its like,
// else a private key that fits the algorithm. kid is the key's name, "" for none.
// It fails for an algorithm that it does not know, for "none", for a key that does not
// fit, and for claims that are no JSON.
func (t Token) SignAs(algorithm string, key any, kid string) (string, error) {
	method := gojwt.GetSigningMethod(algorithm)
	if method == nil || method == gojwt.SigningMethodNone {
		return "", fmt.Errorf("login: cannot sign with %q", algorithm)
	}
	claims := gojwt.MapClaims{}
	maps.Copy(claims, t.Claims)
	claims["sub"] = t.Subject
	claims["iat"] = gojwt.NewNumericDate(t.Issued)
	claims["exp"] = gojwt.NewNumericDate(t.Issued.Add(t.TTL))
	if t.Issuer != "" {
		claims["iss"] = t.Issuer
	}
	if t.Audience != "" {
		claims["aud"] = t.Audience
	}
	token := gojwt.NewWithClaims(method, claims)
	if kid != "" {
		token.Header["kid"] = kid
	}
	return token.SignedString(key)
}
