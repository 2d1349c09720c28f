//go:build linux

package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/strict"
)

// question is a request as an operation has it. It goes on when the backend that has asked is gone:
// what was begun is not left half done.
type question struct {
	ctx    context.Context
	names  []string // in the path
	values map[string]string
	fields map[string]json.RawMessage // of the body
}

// read reads the query, and the body if the operation has one.
func (q *question) read(w http.ResponseWriter, r *http.Request, op *operation) (err error) {
	if q.values, err = readQuery(r.URL.RawQuery, op.params); err != nil || !op.hasBody {
		return err
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return errMedia
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return errTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errSlowBody
	case err != nil:
		return badRequest("The body did not arrive.")
	}
	q.fields, err = readObject(body)
	return err
}

// readQuery reads a query that has no other parameters than these, and each of them once.
func readQuery(query string, known []string) (map[string]string, error) {
	all, err := url.ParseQuery(query)
	if err != nil {
		return nil, badRequest("The query cannot be read.")
	}
	values := make(map[string]string, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		switch {
		case len(known) == 0:
			return nil, badRequest("There is no parameter %q: this takes none.", name)
		case !slices.Contains(known, name):
			return nil, badRequest("There is no parameter %q: want %s.", name, strings.Join(known, ", "))
		case len(all[name]) > 1:
			return nil, badRequest("The parameter %s is there %d times: give it once.", name, len(all[name]))
		case !utf8.ValidString(all[name][0]):
			return nil, badRequest("%s is not UTF-8.", name)
		}
		values[name] = all[name][0]
	}
	return values, nil
}

// readObject reads a JSON object that can be read in one way only.
func readObject(body []byte) (map[string]json.RawMessage, error) {
	object, err := strict.Object(body)
	var fields map[string]json.RawMessage
	if err == nil {
		err = json.Unmarshal(body, &fields)
	}
	switch {
	case err == nil:
		return fields, nil
	case object != nil: // which says it
		return nil, badRequest("The body cannot be read in one way only: %v.", err)
	}
	return nil, badRequest("The body is not a JSON object.")
}

// limit returns how many are to be told.
func (q *question) limit() (int, error) {
	text, ok := q.values["limit"]
	if !ok {
		return defaultPage, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxPage {
		return 0, badRequest("limit: %q: want 1 to %d.", text, maxPage)
	}
	return n, nil
}

// farewell is how connections are closed, and for how long their user is banned.
type farewell struct {
	code   frame.StatusCode
	reason string
	until  time.Time // zero if the user is not
}

// closedByOperator is what connections are closed with: 4403.
const closedByOperator = frame.StatusCode(4403)

const maxReason = 123 // bytes: RFC 6455 §5.5

// The shortest ban is worth a request, the longest one an answer that people can still read.
const (
	shortestBan = time.Second
	longestBan  = 10 * 365 * 24 * time.Hour
)

// farewell reads ?code=&reason=&ban=.
func (q *question) farewell(now time.Time) (f farewell, err error) {
	f.code = closedByOperator
	if text, ok := q.values["code"]; ok {
		n, err := strconv.ParseUint(text, 10, 16)
		if f.code = frame.StatusCode(n); err != nil || !mayClose(f.code) {
			return f, badRequest("code: %q: want 1000, 1001, 1008, 1011 to 1013, or 3000 to 4999.", text)
		}
	}
	if f.reason = q.values["reason"]; len(f.reason) > maxReason {
		return f, badRequest("reason: %d bytes are too long: want at most %d.", len(f.reason), maxReason)
	}
	if text, ok := q.values["ban"]; ok {
		d, err := time.ParseDuration(text)
		if err != nil || d < shortestBan || d > longestBan {
			return f, badRequest("ban: %q: want a time of 1s to %.0fh, like 10m.", text, longestBan.Hours())
		}
		f.until = now.Add(d)
	}
	return f, nil
}

// mayClose reports whether an application may close a connection with a code: those that tell of
// the protocol are the server's.
func mayClose(code frame.StatusCode) bool {
	switch code {
	case frame.StatusNormalClosure, frame.StatusGoingAway, frame.StatusPolicyViolation, frame.StatusInternalError,
		frame.StatusServiceRestart, frame.StatusTryAgainLater:
		return true
	}
	return code >= 3000 && code <= 4999
}

// message is the body of a message.
type message struct {
	from, text string
	json       json.RawMessage // instead of text, if it is not nil
	id         string
	retain     bool
}

const maxID = 64 // characters

// message reads a body. known are the fields that the operation has.
func (q *question) message(known ...string) (m message, err error) {
	if err := q.only(known...); err != nil {
		return m, err
	}
	for name, to := range map[string]*string{"from": &m.from, "text": &m.text, "id": &m.id} {
		if raw, ok := q.fields[name]; ok && (raw[0] != '"' || json.Unmarshal(raw, to) != nil) {
			return m, badRequest("%s is not a string.", name)
		}
	}
	if raw, ok := q.fields["retain"]; ok && string(raw) != "true" && string(raw) != "false" {
		return m, badRequest("retain is neither true nor false.")
	}
	m.json, m.retain = q.fields["json"], string(q.fields["retain"]) == "true"
	_, hasText := q.fields["text"]
	_, hasID := q.fields["id"]
	switch {
	case hasText == (m.json != nil):
		return m, badRequest("Want text or json, and not both.")
	case hasID && (m.id == "" || utf8.RuneCountInString(m.id) > maxID || strings.ContainsFunc(m.id, func(r rune) bool { return !unicode.IsPrint(r) })):
		return m, badRequest("id: want 1 to %d characters that can be seen.", maxID)
	}
	return m, nil
}

// only says which field of the body is not known.
func (q *question) only(known ...string) error {
	for _, name := range slices.Sorted(maps.Keys(q.fields)) {
		if !slices.Contains(known, name) {
			return badRequest("There is no field %q: want %s.", name, strings.Join(known, ", "))
		}
	}
	return nil
}
