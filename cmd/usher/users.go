//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/usher-ws/usher/chat"
	"github.com/usher-ws/usher/login"
)

// The words that --users takes instead of a file's name. A file of such a name is
// ./demo or ./none.
const (
	usersDemo = "demo"
	usersNone = "none"
)

// apps returns the door and the chat behind it that the flags describe. given says that the
// operator brought a secret, keys or a service. closeKeys ends what the keys do in the
// background.
func (s *serveCmd) apps(secrets []secret, given bool, log *slog.Logger) (by door, app *chat.Chat, closeKeys func(), err error) {
	check, byWhat, err := s.logIn(secrets != nil, given)
	if err != nil {
		return door{}, nil, nil, err
	}
	if by.service, err = s.service(log); err != nil {
		return door{}, nil, nil, err
	}
	closeKeys = func() {}
	if secrets != nil || s.keysFlags.given() {
		by.provider, closeKeys, err = s.provider(secrets, check, log)
	}
	if err == nil {
		app, err = chat.New(chat.Config{
			Guards: by.guards(), Authorize: by.authorize(), LogIn: byWhat, Origins: s.Origin,
			Rooms: s.Rooms, MaxRoomsPerUser: orNone(s.MaxRoomsPerUser), Limits: s.limits(),
			LeaveGrace: orNone(s.LeaveGrace), AnnounceMax: orNone(s.AnnounceMax),
			History: orNone(s.History), HistoryBytes: s.historyBytes(), ReplayRate: s.replays(),
		})
	}
	if err != nil {
		closeKeys()
		return door{}, nil, nil, err
	}
	return by, app, closeKeys, nil
}

// provider returns what judges tokens, and makes them for those whose password check finds right.
func (s *serveCmd) provider(secrets []secret, check func(ctx context.Context, username, password string) error, log *slog.Logger) (p *login.Provider, closeKeys func(), err error) {
	verifier, closeKeys, err := s.verifier(secrets, log)
	if err != nil {
		return nil, func() {}, err
	}
	var signs secret // none if keys are all there is
	if secrets != nil {
		signs = secrets[0]
	}
	p, err = login.New(login.Config{
		Secret: signs.text, Algorithm: signs.algorithm, Verifier: verifier, Issuer: s.Issuer, Audience: s.Audience,
		CheckPassword: check, Origins: s.Origin, Logger: log,
	})
	return p, closeKeys, err
}

// logIn returns what checks passwords, nil if nobody can log in, and how the page offers
// it. secret says that there is one to sign tokens with, and given that the operator has
// keys, a secret or a service of their own: then the demo's users, whose passwords everybody knows, have
// to be asked for.
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
