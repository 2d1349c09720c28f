//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/usher-ws/usher/chat"
	"github.com/usher-ws/usher/login"
)

// The words that --users takes instead of a file's name. A file of such a name is
// ./demo or ./none.
const (
	usersDemo = "demo"
	usersNone = "none"
)

// logIn returns what checks passwords, nil if nobody can log in, and how the page offers
// it. secret says that there is one to sign tokens with, and given that the operator has
// keys, a secret or a service of their own: then the demo's users, whose passwords everybody
// knows, have to be asked for.
func (s *serveCmd) logIn(secret, given bool) (check func(ctx context.Context, username, password string) error, on chat.LogIn, err error) {
	switch {
	case s.Users == usersNone, s.Users == "" && given:
		return nil, chat.ByToken, nil
	case s.Users == "":
		return login.CheckDemo, chat.ByDemo, nil
	case !secret:
		return nil, "", usageError{errors.New("--users: nobody can log in without a secret to sign tokens with: give --secret-file or USHER_SECRET")}
	case s.Users == usersDemo:
		return login.CheckDemo, chat.ByDemo, nil
	}
	text, err := readLines("--users", s.Users)
	if err != nil {
		return nil, "", err
	}
	users, err := login.ReadHtpasswd(bytes.NewReader(text), checkName)
	if err != nil {
		return nil, "", usageError{fmt.Errorf("--users: %s: %w", s.Users, err)}
	}
	return users.Check, chat.ByPassword, nil
}

// checkName says that a user would be let in nowhere, if that is so.
func checkName(name string) error {
	if !chat.ValidName(name) {
		return errors.New("cannot be a name in the chat")
	}
	return nil
}
