//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/usher-ws/usher/chat"
)

// The words that --users takes instead of a file's name. A file of such a name is
// ./demo or ./none.
const (
	usersDemo = "demo"
	usersNone = "none"
)

// logIn returns the check of a password against the users of a file, if there is one, and
// whether the demo users can log in. secret reports that there is a secret to sign their
// tokens with; given, that the operator gave a secret or keys. Then the demo users, whose
// passwords everybody knows, must be asked for.
func (s *serveCmd) logIn(secret, given bool) (check func(ctx context.Context, username, password string) error, demo bool, err error) {
	switch {
	case s.Users == usersNone, s.Users == "" && given:
		return nil, false, nil
	case s.Users == "":
		return nil, true, nil
	case !secret:
		return nil, false, usageError{errors.New("--users: nobody can log in without a secret to sign tokens with: give --secret-file or USHER_SECRET")}
	case s.Users == usersDemo:
		return nil, true, nil
	}
	text, err := readLines("--users", s.Users)
	if err != nil {
		return nil, false, err
	}
	users, err := chat.ReadHtpasswd(bytes.NewReader(text))
	if err != nil {
		return nil, false, usageError{fmt.Errorf("--users: %s: %w", s.Users, err)}
	}
	return users.Check, false, nil
}
