package login

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"github.com/usher-ws/usher/internal/strict"
	"github.com/usher-ws/usher/upgrade"
)

// maxLogin bounds the body of POST /token, a name and a password, in bytes.
const maxLogin = 8 << 10

var (
	rejectFormat = upgrade.Reject(http.StatusUnsupportedMediaType, "unsupported_media_type",
		"Send a form (application/x-www-form-urlencoded) or application/json.")
	rejectTooLarge = upgrade.Reject(http.StatusRequestEntityTooLarge, "body_too_large",
		"The request is too large for a name and a password.")
)

// login is what a client sends.
type login struct{ username, password string }

// rejectForm refuses a body that is not a name and a password, and says why.
func rejectForm(why string) error {
	return upgrade.Reject(http.StatusBadRequest, upgrade.CodeBadRequest,
		why+": send username and password, each once, as a form or as a JSON object.")
}

// readLogin reads a form or a JSON object. Nothing is taken from the query, because URLs end
// up in logs.
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

// readForm reads a form's fields, as strings, from the body alone: net/http would read the
// query as well, and refuse one for the faults of the other.
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

// loginOf takes the name and the password from the fields of a body, by their exact names.
// All other fields are ignored.
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
	l.username = strings.TrimSpace(l.username) // keyboards and copying leave some behind
	return l, nil
}

const (
	formMedia = "application/x-www-form-urlencoded"
	jsonMedia = "application/json"
)

// format returns the media type of the body; without a Content-Type it is a form's.
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
