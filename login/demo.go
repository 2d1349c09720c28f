package login

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
)

// demoUsers are passwords by name, for trying things out and for nothing else.
var demoUsers = map[string]string{"alice": "wonderland", "bob": "builder"}

// CheckDemo is a [Config].CheckPassword for demonstrations: it knows alice with the password
// wonderland, and bob with builder. How long it takes tells neither how much of a password
// was right nor whether there is such a user: digests of one length are compared, for a
// stranger as well.
func CheckDemo(_ context.Context, username, password string) error {
	want, known := demoUsers[username]
	given, stored := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(want))
	equal := subtle.ConstantTimeCompare(given[:], stored[:]) == 1
	if !equal || !known {
		return ErrPassword
	}
	return nil
}
