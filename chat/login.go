//go:build linux

package chat

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/usher-ws/usher/internal/strict"
	"github.com/usher-ws/usher/upgrade"
)

// maxLogin bounds the body of POST /token, which is a name and a password.
const maxLogin = 8 << 10

var (
	rejectLogin = upgrade.Reject(http.StatusUnauthorized, "bad_credentials",
		"No user has this name and password.")
	rejectFormat = upgrade.Reject(http.StatusUnsupportedMediaType, "unsupported_media_type",
		"Send a form (application/x-www-form-urlencoded) or application/json.")
	rejectTooLarge = upgrade.Reject(http.StatusRequestEntityTooLarge, "body_too_large",
		"The request is too large for a name and a password.")
)

// ErrPassword is what [Config].CheckPassword answers if no user has this name and
// password.
var ErrPassword error = rejectLogin

// login is what a client brings.
type login struct{ username, password string }

// grant is what it gets: the answer of RFC 6749 §5.1.
type grant struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int    `json:"expires_in"` // seconds
}

// serveToken answers POST /token.
func (c *Chat) serveToken(w http.ResponseWriter, r *http.Request) {
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
	remote, _ := netip.ParseAddrPort(r.RemoteAddr)
	ctx := context.WithValue(r.Context(), remoteKey{}, remote.Addr())
	err = c.attempts.try(remote.Addr(), l.username, func() error {
		return c.config.CheckPassword(ctx, l.username, l.password)
	})
	if err != nil && errors.Is(err, ctx.Err()) {
		err = rejectBusy // net/http has given the request up, and the client may not have
	}
	if err != nil {
		c.noteFailure(r, err)
		refuse(w, err)
		return
	}
	token, err := Token{
		Subject:  l.username,
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

// rejectForm refuses a body that is not a name and a password, and says why.
func rejectForm(why string) error {
	return upgrade.Reject(http.StatusBadRequest, upgrade.CodeBadRequest,
		why+": send username and password, each once, as a form or as a JSON object.")
}

// readLogin reads a form or a JSON object. Nothing is taken from the query: it
// ends up in logs.
func readLogin(r *http.Request) (l login, err error) {
	media := format(r)
	if media != formMedia && media != jsonMedia {
		return l, rejectFormat
	}
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return l, rejectTooLarge
	case err != nil:
		return l, rejectForm("The body did not arrive")
	}
	var fields map[string]any
	if media == jsonMedia {
		if fields, err = strict.Object(body); err != nil {
			return l, rejectForm("The body is not one JSON object that has each name once")
		}
	} else if fields, err = readForm(body); err != nil {
		return l, err
	}
	return loginOf(fields)
}

// readForm reads a form's fields, as strings. The body is all there is to it: net/http
// would read the query as well, and refuse the one for the other's faults.
func readForm(body []byte) (map[string]any, error) {
	values, err := url.ParseQuery(string(body))
	if err != nil || bytes.ContainsFunc(body, unicode.IsControl) {
		return nil, rejectForm("The body is not a form")
	}
	fields := make(map[string]any, len(values))
	for name, all := range values {
		if len(all) > 1 && (name == "username" || name == "password") {
			return nil, rejectForm(name + " is there twice")
		}
		fields[name] = all[0]
	}
	return fields, nil
}

// loginOf takes the name and the password out of the fields of a body, by their exact
// names. All others are ignored.
func loginOf(fields map[string]any) (l login, err error) {
	var missing []string
	for _, f := range []struct {
		name string
		to   *string
	}{{"username", &l.username}, {"password", &l.password}} {
		value, there := fields[f.name]
		s, ok := value.(string)
		if there && !ok {
			return login{}, rejectForm(f.name + " is not a string")
		}
		if !there {
			missing = append(missing, f.name)
		}
		*f.to = s
	}
	switch len(missing) {
	case 1:
		return login{}, rejectForm(missing[0] + " is missing")
	case 2:
		return login{}, rejectForm(strings.Join(missing, " and ") + " are missing")
	}
	l.username = trimName(l.username)
	return l, nil
}

// trimName returns a name without the white space around it, as keyboards and copying
// leave some behind.
func trimName(name string) string { return strings.TrimSpace(name) }

const (
	formMedia = "application/x-www-form-urlencoded"
	jsonMedia = "application/json"
)

// format returns the media type of the body, that of a form if the client named none.
func format(r *http.Request) string {
	named := r.Header.Get("Content-Type")
	if named == "" {
		return formMedia
	}
	media, _, err := mime.ParseMediaType(named)
	if err != nil {
		return "unknown"
	}
	return media
}
