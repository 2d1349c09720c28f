//go:build linux

package nats

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// CheckCreds returns what is wrong with a file for [Config.CredsFile], as far as can be told
// without the servers: it has no JWT or no seed, or the JWT has expired at now. No error has a
// part of the file in it.
func CheckCreds(file string, now time.Time) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	end, err := expiryOf(text)
	switch {
	case err != nil:
		return fmt.Errorf("%s is no credentials file, with a JWT and its seed: %w", file, err)
	case !end.IsZero() && !now.Before(end):
		return fmt.Errorf("the credentials in %s have expired on %s: get new ones", file, end.UTC().Format(time.DateTime))
	}
	return nil
}

// expiryOf returns when credentials end, the zero Time if they do not.
func expiryOf(text []byte) (end time.Time, err error) {
	var o nats.Options
	if err = nats.UserCredentialBytes(text)(&o); err != nil {
		return end, err
	}
	token, err := o.UserJWT()
	if err != nil {
		return end, err
	}
	if _, err = o.SignatureCB(nil); err != nil { // by the seed
		return end, err
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return end, errors.New("there is no JWT")
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return end, fmt.Errorf("its JWT: %w", err)
	}
	var claims struct {
		Expires int64 `json:"exp"`
	}
	if err = json.Unmarshal(payload, &claims); err != nil {
		return end, fmt.Errorf("its JWT: %w", err)
	}
	if claims.Expires != 0 {
		end = time.Unix(claims.Expires, 0)
	}
	return end, nil
}

// isRefusal reports whether an error is that of servers which are there, but do not let us in. nats.go
// has errors for that, and its own words for the same when a first connection fails. With TLS 1.3 a
// server looks at our certificate when the handshake is over for us: we may hear of it, or only
// find the connection closed.
func isRefusal(err error) bool {
	text := strings.ToLower(err.Error())
	for _, refusal := range []string{
		"authorization violation", "authentication expired", "authentication revoked",
		"remote error: tls: ", "closed by remote after tls handshake",
	} {
		if strings.Contains(text, refusal) {
			return true
		}
	}
	return false
}
