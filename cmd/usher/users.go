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

// logIn returns what asks the users of a file, if there is one, and whether those of
// the demo can log in. secret says that there is one to sign their tokens with, given
// that the operator has keys or a secret of their own: then the demo's users, whose
// passwords everybody knows, have to be asked for.
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
