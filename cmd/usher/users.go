//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/usher-ws/usher/chat"
)

// checkPassword returns what asks the users of --users, or nil for those of the demo.
// canSign says that there is a secret to sign their tokens with.
func (s *serveCmd) checkPassword(canSign bool) (func(ctx context.Context, username, password string) error, error) {
	if s.Users == "" {
		return nil, nil
	}
	if !canSign {
		return nil, usageError{errors.New("--users: nobody can log in without a secret to sign tokens with: give --secret-file or USHER_SECRET")}
	}
	f, err := os.Open(s.Users)
	if err != nil {
		return nil, fmt.Errorf("--users: %w", err)
	}
	defer f.Close()
	users, err := chat.ReadHtpasswd(f)
	if err != nil {
		return nil, usageError{fmt.Errorf("--users: %s: %w", s.Users, err)}
	}
	return users.Check, nil
}
