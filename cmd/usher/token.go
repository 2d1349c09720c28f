//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/usher-ws/usher/chat"
	"github.com/usher-ws/usher/login"
)

// tokenCmd is usher token.
type tokenCmd struct {
	Sub   string        `required:"" placeholder:"NAME" help:"The subject of the token: the name in the chat."`
	TTL   time.Duration `default:"1h" help:"How long the token is good."`
	Rooms []string      `placeholder:"ROOM" own:"" empty:"none" help:"The rooms that the token opens: all if not given, none if given empty."`

	Key keyFile `placeholder:"[ALG:]FILE" help:"Sign with this private key in PEM instead of the secret. RSA signs with RS256 unless ALG names another algorithm, as in PS256:key.pem."`
	Kid string  `placeholder:"ID" help:"The name of the key in a key set, header kid."`
	claimFlags
	secretFlag
	configFlag
}

// Validate is called by kong.
func (t *tokenCmd) Validate() error {
	if err := timeAtLeast("--ttl", t.TTL, time.Second); err != nil {
		return err
	}
	return validRooms(t.Rooms)
}

// Run prints the token, and nothing else.
func (t *tokenCmd) Run(stdout io.Writer) error {
	key, algorithm, err := t.key()
	if err != nil {
		return err
	}
	says := login.Token{Subject: t.Sub, Issuer: t.Issuer, Audience: t.Audience, Issued: time.Now(), TTL: t.TTL}
	if t.Rooms != nil {
		says.Claims = map[string]any{"rooms": t.Rooms}
	}
	token, err := says.SignAs(algorithm, key, t.Kid)
	if err != nil {
		return fmt.Errorf("cannot sign the token: %w", err)
	}
	_, err = fmt.Fprintln(stdout, token)
	return err
}

// key returns the key that signs: a private key or the secret.
func (t *tokenCmd) key() (key any, algorithm string, err error) {
	if t.Key.path != "" {
		return privateKey(t.Key)
	}
	secrets, err := t.read()
	if err != nil {
		return nil, "", err
	}
	if secrets == nil {
		return nil, "", usageError{errors.New("there is no secret to sign with: set USHER_SECRET or --secret-file to the server's, or --key to a private key")}
	}
	return secrets[0].text, secrets[0].algorithm, nil
}

// validRooms checks a --rooms flag.
func validRooms(names []string) error {
	for _, name := range names {
		if !chat.ValidRoom(name) {
			return fmt.Errorf("--rooms: %q cannot be a room: want 1 to 64 letters, digits, _ or -", name)
		}
	}
	return nil
}
