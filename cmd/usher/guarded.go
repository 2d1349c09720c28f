//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/usher-ws/usher/guard"
	"github.com/usher-ws/usher/internal/pattern"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// This file is what usher guard runs: the door of serve, and behind it an application's.

// everything is the pattern of what is passed on if no --path is given. Metrics and the log have it.
const everything = "/{path...}"

// open implements program.
func (g *guardCmd) open(r *running, before *entrance) (*opened, error) {
	e, err := g.entrance(before, r.log)
	if err != nil {
		return nil, err
	}
	pool, change := r.pool, func() {}
	if pool == nil {
		pool, err = guard.Open(guard.Upstreams{
			URLs: g.Upstream, Timeout: g.UpstreamTimeout, HoldRestart: g.HoldRestart, Logger: r.log,
		})
	} else {
		change, err = pool.Change(g.Upstream)
	}
	if err != nil {
		e.close()
		if before == nil {
			e.door.close()
		}
		return nil, usageError{fmt.Errorf("--upstream: %w", err)}
	}
	srv := g.common().server(r.log)
	g.route(srv, r, pool, e)
	return &opened{e, srv, func() {
		r.pool = pool
		change()
	}}, nil
}

// entrance reads what the settings name. before is what it takes the place of, nil at the start.
func (g *guardCmd) entrance(before *entrance, log *slog.Logger) (*entrance, error) {
	e := &entrance{keysAt: g.JWKS}
	var err error
	if e.secrets, e.given, err = g.secrets(); err != nil {
		return nil, err
	}
	switch {
	case before == nil:
		e.service, err = g.service(log)
		before = new(entrance)
	case e.given != before.given:
		err = usageError{errors.New("a guard looks at tokens from its start or not at all: restart it with a --secret-file, --jwks, --public-key or --auth-url, or without them")}
	default:
		e.service = before.service
	}
	if err != nil {
		return nil, err
	}
	if e.secrets != nil || g.keysFlags.given() {
		if err := g.trust(e, before, log); err != nil {
			return nil, err
		}
	}
	page := &upgrade.Upgrader{Origins: g.Origin, MaxHeaderBytes: upgrade.MaxHeaderLimit} // the door has judged how large it may be
	e.recognize = func(req *http.Request) (*upgrade.Request, error) { return page.Recognize(req, e.verifier) }
	return e, nil
}

// route passes on what is for the paths of the settings.
func (g *guardCmd) route(srv *server.Server, r *running, pool *guard.Pool, e *entrance) {
	public, _ := parsePublic(g.Public) // Validate has read them
	isPublic := func(req *upgrade.Request) bool {
		path := string(req.RawPath())
		return slices.ContainsFunc(public, func(p pattern.Pattern) bool {
			_, ok := p.Match(path, nil)
			return ok && (p.IsAll() || pattern.IsPlain(path)) // else the application could take it for another
		})
	}
	route := server.Route{Limits: g.common().limits(0)}
	if e.verifier != nil {
		route.Guards = []upgrade.Guard{upgrade.BearerUnless(isPublic, e.verifier), r.bans(srv).NotBanned()}
	}
	if ask := e.authorize(); ask != nil {
		route.Authorize = func(ctx context.Context, req *upgrade.Request) error {
			if isPublic(req) {
				return nil
			}
			return ask(ctx, req)
		}
	}
	paths := g.Path
	if len(paths) == 0 {
		all, _ := pattern.ParseMux(everything)
		paths = []pathRule{{pattern: all}}
	}
	for _, p := range paths {
		to := &guard.Guard{
			Upstream: pool, Path: p.to, Forward: g.forward(e.given), Recognize: r.recognize,
			CheckText: g.CheckUTF8, WarnText: g.WarnText, MaxLifetime: g.MaxLifetime,
		}
		if g.AccessLog {
			to.Answered = logAnswered(r.log, p.pattern.String())
		}
		route.Relay = to.Relay()
		srv.Route(p.pattern.String(), route)
	}
}

// logAnswered returns what logs the plain requests of a route, as middleware.Logging does upgrades.
func logAnswered(log *slog.Logger, route string) func(guard.Answered) {
	return func(a guard.Answered) {
		msg, remote := "answered", a.Remote
		if _, err := netip.ParseAddrPort(remote); err != nil {
			remote = "unknown"
		}
		attrs := []slog.Attr{slog.String("route", route), slog.String("request", a.Request), slog.String("remote", remote)}
		say := func(is bool, attr slog.Attr) {
			if is {
				attrs = append(attrs, attr)
			}
		}
		say(a.User != "", slog.String("user", a.User))
		say(a.Upstream != "", slog.String("upstream", a.Upstream))
		say(a.Status != 0, slog.Int("status", a.Status))
		if a.Code != "" {
			msg = "refused"
			say(true, slog.String("code", a.Code))
		}
		say(true, slog.Duration("duration", a.Took.Round(time.Millisecond)))
		say(true, slog.Int64("bytes", a.Bytes))
		say(a.IsCut, slog.String("reason", "cut short"))
		log.LogAttrs(context.Background(), slog.LevelInfo, msg, attrs...)
	}
}

// forward returns what the application is told. Where nobody looks at tokens, they are the
// application's.
func (g *guardCmd) forward(given bool) guard.Forward {
	return guard.Forward{
		Token: g.ForwardToken || !given, Params: []string{"token"}, Cookies: []string{"token"}, // the sources of upgrade.Bearer
		Claims: g.ForwardClaims,
	}
}

// recognize is for guard.Guard.
func (r *running) recognize(req *http.Request) (*upgrade.Request, error) {
	return r.now.Load().recognize(req)
}

// withoutSecret implements program.
func (*guardCmd) withoutSecret() string { return "none" }

// greet names the application, and says so if everybody is let in.
func (g *guardCmd) greet(b []byte, _ *endpoints, e *entrance) ([]byte, error) {
	for _, u := range g.Upstream {
		b = fmt.Appendf(b, "in front of %s\n", u)
	}
	if !e.given {
		b = append(b, "no secret, key or --auth-url given, so this guard authenticates nobody: everybody is let in, within the limits\n"...)
	}
	return b, nil
}
