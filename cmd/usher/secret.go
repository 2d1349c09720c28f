//go:build linux

package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
)

// minSecret is what RFC 7518 §3.2 asks for with HS256.
const minSecret = 32

// secretFlag is where the secret comes from, for all commands that need one.
type secretFlag struct {
	SecretFile string `placeholder:"FILE" help:"Read the HS256 secret, at least 32 bytes, from this file. Without it, USHER_SECRET is the secret."`
}

// read returns the secret without the newline an editor leaves at its end; nil if
// there is none.
func (f secretFlag) read() ([]byte, error) {
	secret, from := []byte(os.Getenv("USHER_SECRET")), "USHER_SECRET"
	if f.SecretFile != "" {
		var err error
		if secret, err = os.ReadFile(f.SecretFile); err != nil {
			return nil, fmt.Errorf("cannot read the secret: %w; name a readable file with --secret-file", err)
		}
		from = f.SecretFile
	} else if len(secret) == 0 {
		return nil, nil
	}
	secret = bytes.TrimSuffix(bytes.TrimSuffix(secret, []byte("\n")), []byte("\r"))
	if len(secret) < minSecret {
		return nil, usageError{fmt.Errorf("the secret in %s has %d bytes and needs %d: make one with `openssl rand -hex 32`", from, len(secret), minSecret)}
	}
	return secret, nil
}

// newSecret returns a secret for one run.
func newSecret() []byte {
	secret := make([]byte, minSecret)
	_, _ = rand.Read(secret) // it never fails: crypto/rand ends the program instead
	return secret
}
