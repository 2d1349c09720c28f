//go:build linux

package chat

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
)

// demoUsers are for trying the chat out, and for nothing else.
var demoUsers = users{"alice": "wonderland", "bob": "builder"}

// users are passwords by name.
type users map[string]string

// check is a Config.CheckPassword. How long it takes tells neither how much of the
// password was right nor whether there is such a user: digests of one length are
// compared, and for a stranger as well.
func (u users) check(_ context.Context, username, password string) error {
	want, known := u[username]
	given, stored := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(want))
	equal := subtle.ConstantTimeCompare(given[:], stored[:]) == 1
	if !equal || !known {
		return ErrPassword
	}
	return nil
}
