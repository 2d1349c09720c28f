package login

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

var (
	rejectLogin = upgrade.Reject(http.StatusUnauthorized, "bad_credentials",
		"No user has this name and password.")
	rejectMethod = upgrade.Reject(http.StatusMethodNotAllowed, upgrade.CodeMethodNotAllowed,
		"This path does not take this method; Allow names those it takes.").WithHeader("Allow", "POST, OPTIONS")
	rejectPath = upgrade.Reject(http.StatusNotFound, upgrade.CodeNotFound,
		"There is nothing at this path.")
	rejectInternal = upgrade.Reject(http.StatusInternalServerError, upgrade.CodeInternal,
		"Something went wrong here.")
)

// ErrPassword is what [Config].CheckPassword answers if no user has this name and
// password.
var ErrPassword error = rejectLogin

// grant is the answer to a right password: RFC 6749 §5.1.
type grant struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"` // seconds
}

// serveToken answers POST /token.
func (p *Provider) serveToken(w http.ResponseWriter, r *http.Request) {
	token, err := p.exchange(w, r)
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	if err != nil {
		rej := rejectInternal
		errors.As(err, &rej)
		rej.ServeHTTP(w, r)
		return
	}
	body, _ := json.Marshal(grant{token, "bearer", int(p.config.TokenTTL / time.Second)}) // strings and a number: there is no error
	h.Set("Content-Type", jsonMedia)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(body) // a client that is gone is not an error here
}

// exchange returns a token for the name and the password in r. Its error is what the client
// gets: an *upgrade.Rejection, or anything else for a bare 500.
func (p *Provider) exchange(w http.ResponseWriter, r *http.Request) (token string, err error) {
	if r.Method != http.MethodPost {
		return "", rejectMethod
	}
	if err := p.door.JudgePage(r); err != nil { // the form of another site, which would log its visitors in as somebody else
		return "", err
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxLogin)
	l, err := readLogin(r)
	if err != nil {
		return "", err
	}
	remote, _ := netip.ParseAddrPort(r.RemoteAddr)
	ctx := context.WithValue(r.Context(), remoteKey{}, remote.Addr())
	err = p.attempts.try(remote.Addr(), l.username, func() error {
		return p.config.CheckPassword(ctx, l.username, l.password)
	})
	if err != nil && errors.Is(err, ctx.Err()) {
		err = rejectBusy // net/http has given the request up, and the client may not have
	}
	if err != nil {
		p.noteFailure(r, err)
		return "", err
	}
	return Token{
		Subject:  l.username,
		Issuer:   p.config.Issuer,
		Audience: p.config.Audience,
		Issued:   time.Now(),
		TTL:      p.config.TokenTTL,
	}.SignAs(p.config.Algorithm, p.config.Secret, "")
}

// noteFailure logs a wrong password, and an error that the client is not told. The name is
// left out: it may be a password in the wrong field.
func (p *Provider) noteFailure(r *http.Request, err error) {
	var rej *upgrade.Rejection
	switch {
	case errors.Is(err, ErrPassword):
		p.config.Logger.Info("login: a log-in failed", "remote", r.RemoteAddr, "code", rejectLogin.Code)
	case r.Context().Err() != nil: // nobody waits for the answer any more
	case !errors.As(err, &rej):
		p.config.Logger.Error("login: a password could not be checked", "remote", r.RemoteAddr, "err", err)
	}
}
