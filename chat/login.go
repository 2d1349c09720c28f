//go:build linux

package chat

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

// maxLogin bounds the body of POST /token, which is a name and a password.
const maxLogin = 8 << 10

var (
	rejectLogin = upgrade.Reject(http.StatusUnauthorized, "bad_credentials",
		"No user has this name and password.")
	rejectForm = upgrade.Reject(http.StatusBadRequest, upgrade.CodeBadRequest,
		"Send username and password as a form or as a JSON object.")
	rejectFormat = upgrade.Reject(http.StatusUnsupportedMediaType, "unsupported_media_type",
		"Send a form (application/x-www-form-urlencoded) or application/json.")
	rejectTooLarge = upgrade.Reject(http.StatusRequestEntityTooLarge, "body_too_large",
		"The request is too large for a name and a password.")
)

// ErrPassword is what [Config].CheckPassword answers if no user has this name and
// password.
var ErrPassword error = rejectLogin

// login is what a client brings.
type login struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// grant is what it gets: the answer of RFC 6749 §5.1.
type grant struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"` // seconds
}

// serveToken answers POST /token.
func (c *Chat) serveToken(w http.ResponseWriter, r *http.Request) {
	if c.config.Secret == nil {
		refuse(w, rejectPath) // whoever makes the tokens is elsewhere
		return
	}
	if err := c.door.JudgePage(r); err != nil { // a form of another site, that logs its visitors in as somebody
		refuse(w, err)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxLogin)
	l, err := readLogin(r)
	if err != nil {
		refuse(w, err)
		return
	}
	err = c.attempts.try(r, l.Username, func() error {
		return c.config.CheckPassword(r.Context(), l.Username, l.Password)
	})
	if err != nil {
		c.noteFailure(r, err)
		refuse(w, err)
		return
	}
	token, err := Token{
		Subject:  l.Username,
		Issuer:   c.config.Issuer,
		Audience: c.config.Audience,
		Issued:   time.Now(),
		TTL:      c.config.TokenTTL,
	}.SignAs(c.config.Algorithm, c.config.Secret, "")
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, "application/json", http.StatusOK, grant{
		AccessToken: token,
		TokenType:   "bearer",
		ExpiresIn:   int(c.config.TokenTTL / time.Second),
	})
}

// noteFailure tells the log of a wrong password, and of an error that the client is
// not told. The name is left out: it may be a password in the wrong field.
func (c *Chat) noteFailure(r *http.Request, err error) {
	var rej *upgrade.Rejection
	switch {
	case errors.Is(err, ErrPassword):
		c.config.Logger.Info("chat: a log-in failed", "remote", r.RemoteAddr, "code", rejectLogin.Code)
	case r.Context().Err() != nil: // nobody waits for the answer
	case !errors.As(err, &rej):
		c.config.Logger.Error("chat: a password could not be checked", "remote", r.RemoteAddr, "err", err)
	}
}

// readLogin reads a form or a JSON object. Nothing is taken from the query: it
// ends up in logs.
func readLogin(r *http.Request) (l login, err error) {
	switch format(r) {
	case "application/json":
		err = json.NewDecoder(r.Body).Decode(&l)
	case "application/x-www-form-urlencoded", "":
		err = r.ParseForm()
		l = login{Username: r.PostForm.Get("username"), Password: r.PostForm.Get("password")}
	default:
		return login{}, rejectFormat
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return login{}, rejectTooLarge
	case err != nil:
		return login{}, rejectForm
	}
	return l, nil
}

// format returns the media type of the body, "" if the client named none.
func format(r *http.Request) string {
	named := r.Header.Get("Content-Type")
	if named == "" {
		return ""
	}
	media, _, err := mime.ParseMediaType(named)
	if err != nil {
		return "unknown"
	}
	return media
}
