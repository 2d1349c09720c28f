//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"github.com/usher-ws/usher/hub/events"
	"github.com/usher-ws/usher/internal/pattern"
	"github.com/usher-ws/usher/server"
)

// guardCmd is usher guard. Sizes, counts and times of 0 mean no limit.
type guardCmd struct {
	configFlag

	Upstream        []string      `live:"" placeholder:"URL" help:"The application, which must be named: http://HOST:PORT, https://HOST:PORT or unix:PATH. Of several, the one with the fewest connections gets the next, and one that does not answer rests."`
	UpstreamTimeout time.Duration `default:"10s" help:"The time in which the application must have answered a request; 504 otherwise."`
	HoldRestart     time.Duration `default:"0" help:"How long new clients wait at the door while no upstream answers, instead of being refused with 502."`

	Path   []pathRule `placeholder:"PATTERN[=PATH]" help:"Pass on what is for these paths only, in the patterns of net/http: /ws, /ws/{room}, /app/ with all that is below it, /app/{rest...}, /{$} for / alone. Of several that match the most special one counts. With =PATH the application is asked for that instead, in which {room} and {rest...} stand for what matched. If not given, everything is passed on."`
	Public []string   `placeholder:"PATTERN" help:"Upgrades to these paths need no token, in the same patterns. One that is good is recognised all the same."`

	ForwardToken  bool     `help:"Let the application have the token. Otherwise it is taken out of what it is asked, and X-Usher-Subject says whose it was."`
	ForwardClaims []string `placeholder:"CLAIM" help:"Tell the application these claims of the token, in headers X-Usher-Claim-CLAIM, escaped as in a URL; what is no text is JSON."`
	CheckUTF8     bool     `name:"check-utf8" help:"Close a client whose text is not UTF-8, unless it is compressed, with 1007. Otherwise that is for the application to find."`

	listenFlags

	originFlag `set:"origin_help=Let pages of these origins connect, besides those of the same host: host, *.host, scheme://host:port, null, file://, or * for all. A token in a cookie counts only from a page of the same host or of a host named here."`
	credentialFlags

	limitFlags `kong:"set='rate=0',set='over_limit=delay',set='rate_help=Messages of one connection.',set='ip_rate_help=Messages of all connections of one address together.',set='max_requests_help=Plain requests that are with the application at once; the others wait, for --handshake-timeout at most.'"`
	WarnText   string `placeholder:"TEXT" help:"What --over-limit warn says to a client, as a text message: in the language of the application."`

	boundFlags  `kong:"set='max_message=16MiB',set='max_message_help=The largest message; one that is compressed counts as it was sent.'"`
	MaxLifetime time.Duration `default:"0" help:"Close a connection that is this old with 1001, some up to a tenth earlier, so that those that came together do not go together."`

	clusterFlags
	operatorFlags
}

func (g *guardCmd) common() common {
	return common{&g.listenFlags, &g.originFlag, &g.credentialFlags, &g.limitFlags, &g.boundFlags, &g.clusterFlags, &g.operatorFlags}
}

// Help is what usher guard --help prints below its first line.
func (*guardCmd) Help() string { return helpOn(liveOfGuard) }

// liveOfGuard are the flags of guard that change while it runs.
const liveOfGuard = "--api-key-file, --audience, --burst, --byte-rate, --close-after, --events-key-file, --ip-rate, --issuer, --jwks, --jwks-grace, --jwks-refresh, --leeway, --limit-dry-run, " +
	"--log-level, --max-conns, --max-conns-per-ip, --max-conns-per-user, --max-head, --max-message, --origin, " +
	"--over-limit, --public-key, --rate, --secret-file, --tls-cert, --tls-client-ca, --tls-key, --tls-min, --upstream, --user-rate"

// Validate is called by kong.
func (g *guardCmd) Validate() error {
	if len(g.Upstream) == 0 {
		return errors.New("--upstream: name the application, like http://127.0.0.1:8000")
	}
	if err := timeAtLeast("--upstream-timeout", g.UpstreamTimeout, time.Millisecond); err != nil {
		return err
	}
	for name, d := range map[string]time.Duration{"--hold-restart": g.HoldRestart, "--max-lifetime": g.MaxLifetime} {
		if err := validTime(name, d); err != nil {
			return err
		}
	}
	if g.OverLimit == server.Warn && g.WarnText == "" {
		return errors.New("--over-limit: a guard does not know how to warn the application's clients: say so with --warn-text, or choose drop, delay or close")
	}
	for k, p := range g.Path {
		for _, other := range g.Path[:k] {
			switch {
			case p.pattern.Same(other.pattern):
				return fmt.Errorf("--path: %s and %s match the same paths: give one of them", other.text, p.text)
			case p.pattern.Conflicts(other.pattern):
				return fmt.Errorf("--path: %s and %s match some of the same paths, and neither is the more special one: give one for these paths alone", other.text, p.text)
			}
		}
	}
	if _, err := parsePublic(g.Public); err != nil {
		return fmt.Errorf("--public: %w", err)
	}
	if slices.Contains(g.EventsTypes, events.Message.String()) {
		return errors.New("--events-types: a guard passes messages on without reading them: leave message out")
	}
	for _, claim := range g.ForwardClaims {
		if strings.ContainsFunc(claim, func(r rune) bool { return !isPartOfClaim(r) }) {
			return fmt.Errorf("--forward-claims: %q cannot be a part of a header's name: want letters, digits, - and _", claim)
		}
	}
	return g.common().validate()
}

// isPartOfClaim reports whether r may be in the name of a claim that becomes a header's.
func isPartOfClaim(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
}

// pathRule is a value of --path.
type pathRule struct {
	text    string // of the pattern, as it was given
	pattern pattern.Pattern
	to      string // "" for the path as it was asked for
}

// UnmarshalText reads PATTERN[=PATH].
func (p *pathRule) UnmarshalText(text []byte) (err error) {
	from, to, isMapped := strings.Cut(string(text), "=")
	if p.pattern, err = pattern.ParseMux(from); err != nil {
		return err
	}
	if p.text, p.to = from, to; !isMapped {
		return nil
	}
	if strings.HasSuffix(from, "/") {
		return fmt.Errorf("%q: name what is below %s to say where it goes, as in %[2]s{rest...}=/app/{rest...}", text, from)
	}
	if !strings.HasPrefix(to, "/") || strings.ContainsAny(to, "?#\\% \t") {
		return fmt.Errorf("%q: %q is no path to ask for: want one like /socket/{room}", text, to)
	}
	if err := p.pattern.CanExpand(to); err != nil {
		return fmt.Errorf("%q: %w", text, err)
	}
	return nil
}

// parsePublic reads the values of --public.
func parsePublic(texts []string) (all []pattern.Pattern, err error) {
	for _, text := range texts {
		p, err := pattern.ParseMux(text)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// Run guards until a signal ends it.
func (g *guardCmd) Run(stdout io.Writer, ctx *kong.Context) error { return serveBy(g, stdout, ctx) }
