//go:build linux

package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"regexp"
)

// keyFile is a file with a key, and the algorithm that the key is for if that is
// not the usual one: "PS256:key.pem".
type keyFile struct {
	algorithm string // "" for the usual one
	path      string
}

// algorithms are those that a token may be signed with.
var algorithms = regexp.MustCompile(`^(?:(?:HS|RS|PS|ES)(?:256|384|512)|EdDSA|Ed25519):`)

// UnmarshalText reads [ALG:]FILE.
func (f *keyFile) UnmarshalText(text []byte) error {
	prefix := algorithms.Find(text)
	f.path = string(text[len(prefix):])
	if f.algorithm = ""; len(prefix) > 0 {
		f.algorithm = string(prefix[:len(prefix)-1])
	}
	return nil
}

// secretFlag is where the secret comes from, for all commands that need one.
type secretFlag struct {
	SecretFile keyFile `placeholder:"[ALG:]FILE" help:"Read the HS256 secret, at least 32 bytes, from this file; HS384:FILE and HS512:FILE are for those. Without it, USHER_SECRET is the secret."`
}

// read returns the secret, for the algorithm it is for, without the newline an
// editor leaves at its end; nil if there is none.
func (f secretFlag) read() (secret []byte, algorithm string, err error) {
	secret, algorithm = []byte(os.Getenv("USHER_SECRET")), "HS256"
	from := "USHER_SECRET"
	if f.SecretFile.path != "" {
		if secret, err = os.ReadFile(f.SecretFile.path); err != nil {
			return nil, "", fmt.Errorf("cannot read the secret: %w; name a readable file with --secret-file", err)
		}
		from = f.SecretFile.path
		if f.SecretFile.algorithm != "" {
			algorithm = f.SecretFile.algorithm
		}
	} else if len(secret) == 0 {
		return nil, algorithm, nil
	}
	secret = bytes.TrimSuffix(bytes.TrimSuffix(secret, []byte("\n")), []byte("\r"))
	least := minSecrets[algorithm]
	switch {
	case least == 0:
		return nil, "", usageError{fmt.Errorf("--secret-file: %s takes no secret: want HS256, HS384 or HS512", algorithm)}
	case len(secret) < least:
		return nil, "", usageError{fmt.Errorf("the secret in %s has %d bytes and needs %d: make one with `openssl rand -hex %d`", from, len(secret), least, least)}
	}
	return secret, algorithm, nil
}

// minSecrets is what RFC 7518 §3.2 asks for.
var minSecrets = map[string]int{"HS256": 32, "HS384": 48, "HS512": 64}

// newSecret returns a secret for one run.
func newSecret() []byte {
	secret := make([]byte, minSecrets["HS256"])
	_, _ = rand.Read(secret) // it never fails: crypto/rand ends the program instead
	return secret
}

// claimFlags are what tokens say of where they come from and go to: demanded by
// serve, written by token.
type claimFlags struct {
	Issuer   string `placeholder:"ISS" help:"The issuer of tokens, claim iss."`
	Audience string `placeholder:"AUD" help:"Whom tokens are for, claim aud."`
}
