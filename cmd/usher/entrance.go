//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/usher-ws/usher/chat"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/login"
	"github.com/usher-ws/usher/upgrade"
	"github.com/usher-ws/usher/upgrade/jwks"
	"github.com/usher-ws/usher/upgrade/jwt"
)

// entrance is all that says who may come in, as the settings and the files that they name have
// it. It never changes: a reload makes another.
type entrance struct {
	door
	logIn    chat.LogIn
	secrets  []secret
	given    bool // the secrets, keys or service are the operator's
	keys     *jwks.Keys
	keysAt   string           // --jwks
	verifier upgrade.Verifier // nil without secrets and keys

	// Of guard: what is known of a plain request.
	recognize func(req *http.Request) (*upgrade.Request, error)

	// Of serve: what there is over HTTP.
	handler http.Handler
	answer  func(dst []byte, r *upgrade.Request) []byte
}

// entrance reads what the settings name. before is what it takes the place of, nil at the start:
// keys of that count for their grace, and the service is the same.
func (s *serveCmd) entrance(before *entrance, log *slog.Logger) (*entrance, error) {
	e := &entrance{keysAt: s.JWKS}
	var err error
	if e.secrets, e.given, err = s.secrets(); err != nil {
		return nil, err
	}
	if !e.given {
		e.secrets = []secret{newSecret()}
	}
	switch {
	case before == nil:
		e.service, err = s.service(log)
		before = new(entrance)
	case !e.given && before.given:
		err = usageError{errors.New("no secret and no key is left: a secret of its own, and with it the demo users, a server has from its start or not at all: name a --secret-file")}
	default:
		e.service = before.service
		if !e.given {
			e.secrets = before.secrets // those of the run
		}
	}
	if err != nil {
		return nil, err
	}
	check, logIn, err := s.logIn(e.secrets != nil, e.given)
	if err != nil {
		return nil, err
	}
	e.logIn = logIn
	if e.secrets != nil || s.keysFlags.given() {
		err = s.provide(e, before, check, log)
	}
	return e, err
}

// provide gives e what judges tokens, and makes them for those whose password check finds
// right.
func (s *serveCmd) provide(e, before *entrance, check func(ctx context.Context, username, password string) error, log *slog.Logger) (err error) {
	if err := s.trust(e, before, log); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			e.close()
		}
	}()
	var signs secret // none if keys are all there is
	if e.secrets != nil {
		signs = e.secrets[0]
	}
	config := login.Config{
		Secret: signs.text, Algorithm: signs.algorithm, Issuer: s.Issuer, Audience: s.Audience,
		Verifier:      e.verifier,
		CheckPassword: check, Origins: s.Origin, Logger: log,
	}
	if before.provider != nil {
		e.provider, err = before.provider.With(config)
	} else {
		e.provider, err = login.New(config)
	}
	return err
}

// trust gives e what judges tokens.
func (f *credentialFlags) trust(e, before *entrance, log *slog.Logger) (err error) {
	if e.keys, err = f.openKeys(e.secrets, before.keys, log); err != nil {
		return err
	}
	if before.keys != nil && before.keysAt != f.JWKS {
		if _, err := e.keys.Ask(context.Background(), ""); err != nil {
			e.close()
			return errors.New("--jwks: the set at this URL cannot be read: mend that first")
		}
	}
	e.verifier = &jwt.Verifier{Keys: e.keys, Issuer: f.Issuer, Audience: f.Audience, Leeway: f.Leeway}
	return nil
}

// openKeys returns the keys that tokens may be signed with: the secrets, and all others.
func (f *keysFlags) openKeys(secrets []secret, before *jwks.Keys, log *slog.Logger) (*jwks.Keys, error) {
	var local []jwt.Key
	for _, s := range secrets {
		local = append(local, jwt.Key{Algorithm: s.algorithm, Key: s.text})
	}
	for _, file := range f.PublicKey {
		text, err := readLines("--public-key", file.path)
		if err != nil {
			return nil, err
		}
		keys, err := jwt.ParsePEM(text, file.algorithm)
		if err != nil {
			return nil, usageError{fmt.Errorf("--public-key %s: %w", file.path, err)}
		}
		local = append(local, keys...)
	}
	keys, err := jwks.Open(jwks.Source{
		Location: f.JWKS, Local: local, Before: before, Refresh: orNone(f.JWKSRefresh), Grace: orNone(f.JWKSGrace), Logger: log,
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read the key set: %w; name a URL or a file with --jwks", err)
	}
	return keys, nil
}

// chat returns the settings of the chat behind e and guards.
func (s *serveCmd) chat(e *entrance, guards []upgrade.Guard) chat.Config {
	return chat.Config{
		Guards: guards, Authorize: e.authorize(), LogIn: e.logIn, Origins: s.Origin,
		Rooms: s.Rooms, MaxRoomsPerUser: orNone(s.MaxRoomsPerUser), Limits: s.limits(),
		LeaveGrace: orNone(s.LeaveGrace), AnnounceMax: orNone(s.AnnounceMax),
		History: orNone(s.History), HistoryBytes: int(s.MaxBuffered) / 8, ReplayRate: s.replays(),
	}
}

// historyBytes returns the part of --max-buffered that the histories of all rooms may take.
func (s *serveCmd) historyBytes() int {
	if s.History == 0 {
		return 0
	}
	return int(s.MaxBuffered) / 8
}

// replays returns how often one user is told the history of a room: as often as they may say
// something.
func (s *serveCmd) replays() limiter.Rate {
	switch {
	case s.LimitDryRun:
		return limiter.Rate{}
	case s.UserRate != 0:
		return s.common().together(s.UserRate)
	}
	return s.limits().Messages
}

// leadTo has e answer over HTTP, in front of the chat.
func (e *entrance) leadTo(app *chat.Chat) {
	e.handler, e.answer = app.Handler(), app.Answer
	if e.provider != nil {
		e.handler, e.answer = e.provider.Handler(e.handler), e.provider.Answer(e.answer)
	}
}

// close ends what the keys do in the background. Another entrance may have the service.
func (e *entrance) close() {
	if e.keys != nil {
		e.keys.Close()
	}
}
