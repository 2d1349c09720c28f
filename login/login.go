package login

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/usher-ws/usher/upgrade"
	"github.com/usher-ws/usher/upgrade/jwt"
	"github.com/usher-ws/usher/upgrade/ticket"
)

// Config holds the settings of a Provider. Secret or Verifier is required; every other field
// is useful at zero.
type Config struct {
	// Secret signs the tokens of POST /token, with an HMAC: Algorithm is HS256,
	// the default, HS384 or HS512. It has at least 32, 48 or 64 bytes.
	Secret    []byte
	Algorithm string

	// Verifier judges the tokens that clients bring, those of POST /token among them. nil
	// is one that knows Secret.
	Verifier upgrade.Verifier

	// Issuer and Audience are the claims iss and aud of the tokens of POST /token; ""
	// leaves them out.
	Issuer, Audience string

	// TokenTTL is how long a token of POST /token is good; 0 means an hour.
	TokenTTL time.Duration

	// CheckPassword reports whether the password is the user's: it returns nil if it is,
	// and ErrPassword if not. An *upgrade.Rejection is the answer as it is; any other error
	// is a bare 500 and a line in the log. It is called on the request's own goroutine, by
	// many at once, and may block until ctx ends. The name has no white space around it. It
	// should take as long for a user that does not exist, as Htpasswd.Check does. nil means
	// that nobody can log in, and there is no POST /token; otherwise Secret is required.
	CheckPassword func(ctx context.Context, username, password string) error

	// Origins are the origins, besides the same host, whose pages may log in and read the
	// answers, as in upgrade.Upgrader.
	Origins []string

	// Logger gets a line for each log-in that fails; nil is slog.Default().
	Logger *slog.Logger
}

// Provider is the identity provider; New makes one. Its methods are safe for any goroutine.
type Provider struct {
	config   Config
	door     *upgrade.Upgrader // for what pages ask over HTTP
	tickets  *ticket.Issuer
	attempts *attempts
}

// New returns a provider. It fails when the secret is too short for its algorithm, or
// missing where passwords are checked, and when an origin is malformed.
func New(config Config) (*Provider, error) {
	return provide(config, new(ticket.Issuer), newAttempts())
}

// With returns a provider with other settings that knows what p knows: the tickets that are
// not used yet, and who has tried how many passwords. Its errors are those of New. p stays as
// it is, so that a server can go over from the guard and the Handler of one to those of the
// other while it runs.
func (p *Provider) With(config Config) (*Provider, error) {
	return provide(config, p.tickets, p.attempts)
}

// Join has the tickets of p, and of all that With makes of it, be good at other nodes: see
// ticket.Issuer.Join.
func (p *Provider) Join(n ticket.Nodes) { p.tickets.Join(n) }

func provide(config Config, tickets *ticket.Issuer, attempts *attempts) (*Provider, error) {
	if config.Algorithm == "" {
		config.Algorithm = "HS256"
	}
	if config.CheckPassword != nil && config.Secret == nil {
		return nil, errors.New("login: Config.CheckPassword needs Config.Secret, to sign tokens with")
	}
	if config.Secret != nil || config.Verifier == nil {
		keys, err := jwt.NewKeySet(jwt.Key{Algorithm: config.Algorithm, Key: slices.Clone(config.Secret)})
		if err != nil {
			return nil, fmt.Errorf("login: %w", err)
		}
		if config.Verifier == nil {
			config.Verifier = &jwt.Verifier{Keys: keys}
		}
	}
	if config.TokenTTL <= 0 {
		config.TokenTTL = time.Hour
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	p := &Provider{config: config, tickets: tickets, attempts: attempts}
	// The server in front has judged how large a head may be.
	p.door = &upgrade.Upgrader{Origins: config.Origins, Logger: config.Logger, MaxHeaderBytes: upgrade.MaxHeaderLimit}
	if err := p.door.Validate(); err != nil {
		return nil, fmt.Errorf("login: %w", err)
	}
	return p, nil
}

// Bearer returns the guard that lets in the holders of good tokens and tickets, for any
// number of routes.
func (p *Provider) Bearer() upgrade.Guard { return p.tickets.Bearer(p.config.Verifier) }

// Handler returns what answers /token and /ticket; next answers all other paths, and
// /token as well if nobody can log in. A nil next refuses them with 404.
func (p *Provider) Handler(next http.Handler) http.Handler {
	if next == nil {
		next = p.door.CORS(rejectPath)
	}
	token := next
	if p.config.CheckPassword != nil {
		token = p.door.CORS(http.HandlerFunc(p.serveToken), http.MethodPost)
	}
	ticket := p.door.CORS(p.tickets.Handler(p.config.Verifier), http.MethodPost)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/token":
			token.ServeHTTP(w, r)
		case "/ticket":
			ticket.ServeHTTP(w, r)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// Answer is Handler for server.Server.Answer: next answers all paths but /token and /ticket,
// which only the Handler can.
func (p *Provider) Answer(next func(dst []byte, r *upgrade.Request) []byte) func(dst []byte, r *upgrade.Request) []byte {
	return func(dst []byte, r *upgrade.Request) []byte {
		switch r.Path() {
		case "/token", "/ticket":
			return dst
		}
		return next(dst, r)
	}
}
