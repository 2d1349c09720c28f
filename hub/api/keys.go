//go:build linux

package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/usher-ws/usher/upgrade"
)

// digest stands for a key, or for the id of a message: nothing is kept but what is compared.
type digest [sha256.Size]byte

// SetKeys sets the keys of which a request must have one, in Authorization: Bearer. Without any,
// whoever can reach the API may use it. What is asked with a key that is gone is refused from now on;
// what is under way goes on. The keys themselves are not kept.
func (a *API) SetKeys(keys ...[]byte) {
	all := make([]digest, len(keys))
	for k, key := range keys {
		all[k] = sha256.Sum256(key)
	}
	a.keys.Store(&all)
}

// authorize says why a request may not be answered. How long it takes does not tell which key was
// nearly right.
func (a *API) authorize(r *http.Request) error {
	keys := a.keys.Load()
	if keys == nil || len(*keys) == 0 {
		return nil
	}
	said := r.Header["Authorization"]
	if len(said) == 0 {
		return errKeyMissing
	}
	scheme, key, _ := strings.Cut(said[0], " ")
	if len(said) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return errKeyInvalid
	}
	given, found := digest(sha256.Sum256([]byte(strings.Trim(key, " ")))), 0
	for k := range *keys {
		found |= subtle.ConstantTimeCompare(given[:], (*keys)[k][:])
	}
	if found == 0 {
		return errKeyInvalid
	}
	return nil
}

var (
	errKeyMissing = upgrade.Reject(http.StatusUnauthorized, "key_missing", "Send one of the API's keys: Authorization: Bearer KEY.")
	errKeyInvalid = upgrade.RejectToken("key_invalid", "This is none of the API's keys.")
)
