package upgrade

import (
	"reflect"
	"time"
)

// Identity is the user for whom a token speaks. It owns its memory: nothing in it
// refers to the token. Connections may share one; it is then read only.
type Identity struct {
	Subject   string
	ExpiresAt time.Time      // exp and the leeway; from then on the token is no good
	Claims    map[string]any // all claims of the token, as encoding/json reads them

	// See NewIdentity.
	text string         // that was read
	read map[string]any // Claims then
	n    int            // how many they were
}

// NewIdentity returns an Identity that knows the text of its claims, a JSON object; claims is
// what encoding/json makes of it. A server can keep such an Identity as bytes, a tenth of
// what the map takes, for as long as a connection lasts. An Identity without a text is as
// good in all else.
func NewIdentity(subject string, expiresAt time.Time, claims map[string]any, text string) *Identity {
	return &Identity{Subject: subject, ExpiresAt: expiresAt, Claims: claims, text: text, read: claims, n: len(claims)}
}

// ClaimsText returns the JSON object that Claims was read from; "" if that is not known, or
// if Claims is another map by now, in a copy of the Identity say, or has other members.
func (id *Identity) ClaimsText() string {
	if len(id.Claims) != id.n || reflect.ValueOf(id.Claims).Pointer() != reflect.ValueOf(id.read).Pointer() {
		return ""
	}
	return id.text
}
