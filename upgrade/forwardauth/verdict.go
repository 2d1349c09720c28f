package forwardauth

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/usher-ws/usher/internal/text"
	"github.com/usher-ws/usher/upgrade"
)

// verdict is what the service has said of a request. It is not changed any more.
type verdict struct {
	refusal *upgrade.Rejection // nil lets in
	subject string             // as this user, if it is known
	expires time.Time          // until then; zero is for good
	until   time.Time          // when the service wants to be asked again
}

// subjectHeaders are where services say who the user is: to us; Authelia; oauth2-proxy;
// traefik-forward-auth.
var subjectHeaders = []string{subjectHeader, "Remote-User", "X-Auth-Request-User", "X-Forwarded-User"}

// expiryHeader is until when the user may stay, in seconds since 1970.
const expiryHeader = "X-Usher-Exp"

// read returns what an answer says, or an error if it decides nothing.
func read(answer *http.Response, r *upgrade.Request) (*verdict, error) {
	now := time.Now()
	v := &verdict{until: now.Add(freshFor(answer.Header))}
	switch status := answer.StatusCode; {
	case status >= 200 && status <= 299:
		if err := v.readUser(answer.Header, r); err != nil {
			return nil, fmt.Errorf("forwardauth: the service answered %d with %w", status, err)
		}
		if !v.expires.IsZero() && v.expires.Before(v.until) {
			v.until = v.expires
		}
		_, _ = io.CopyN(io.Discard, answer.Body, maxBody) // so that the connection can be used again
	case isRefusal(status):
		v.refusal = refusal(r, answer)
		if status == http.StatusTooManyRequests { // RFC 6585 §4: not to be stored
			v.until = now
		}
	default:
		return nil, fmt.Errorf("forwardauth: the service answered %d", status)
	}
	return v, nil
}

// isRefusal reports whether a status says that the client may not come in. Some of 4xx are
// about the exchange between the service and us.
func isRefusal(status int) bool {
	switch status {
	case http.StatusProxyAuthRequired, http.StatusRequestTimeout, http.StatusMisdirectedRequest, http.StatusTooEarly, http.StatusUpgradeRequired:
		return false
	}
	return status >= 400 && status <= 499
}

// readUser reads as whom, and until when, the client is let in. What could be read in two
// ways is an error: nobody is let in as either of two.
func (v *verdict) readUser(h http.Header, r *upgrade.Request) (err error) {
	for _, name := range subjectHeaders {
		if v.subject, err = one(h, name); err != nil || v.subject != "" {
			break
		}
	}
	switch {
	case err != nil:
		return err
	case !utf8.ValidString(v.subject):
		return errors.New("a subject that is not UTF-8")
	}
	exp, err := one(h, expiryHeader)
	if err != nil || exp == "" {
		return err
	}
	seconds, err := strconv.ParseUint(exp, 10, 40)
	switch {
	case err != nil:
		return fmt.Errorf("an %s that is not the seconds since 1970", expiryHeader)
	case v.subject == "" && r.Identity == nil:
		return fmt.Errorf("an %s of nobody: it needs an %s", expiryHeader, subjectHeader)
	}
	v.expires = time.Unix(int64(seconds), 0)
	return nil
}

// one returns the value of a header that must be there once at most.
func one(h http.Header, name string) (string, error) {
	values := h.Values(name)
	if len(values) > 1 {
		return "", fmt.Errorf("%d headers %s", len(values), name)
	}
	return strings.TrimSpace(h.Get(name)), nil
}

var errExpired = upgrade.RejectToken(upgrade.CodeTokenExpired, "The session has expired.")

// apply carries a verdict out: it returns the refusal, or says in r.Identity who it is. Of a
// token that a guard has found good the claims count on, and its end if that is earlier.
func (v *verdict) apply(r *upgrade.Request, now time.Time) error {
	if v.refusal != nil {
		return v.refusal
	}
	if !v.expires.IsZero() && !now.Before(v.expires) {
		return errExpired
	}
	if v.subject == "" && v.expires.IsZero() {
		return nil
	}
	id := new(upgrade.Identity)
	if r.Identity != nil {
		*id = *r.Identity
	}
	if v.subject != "" {
		id.Subject = v.subject
	}
	if !v.expires.IsZero() && (id.ExpiresAt.IsZero() || v.expires.Before(id.ExpiresAt)) {
		id.ExpiresAt = v.expires
	}
	r.Identity = id
	return nil
}

// maxFresh is for how long a verdict counts at most, whatever the service says.
const maxFresh = 24 * time.Hour

// freshFor returns for how long an answer counts, by its Cache-Control: not at all if there
// is none or it can be read in two ways. As RFC 9111 has it we are a shared cache, so private
// answers are not kept and s-maxage goes before max-age. But an answer to a request with
// credentials may be kept without being public, as it is for the same credentials only.
func freshFor(h http.Header) time.Duration {
	age, shared := time.Duration(-1), time.Duration(-1)
	for _, line := range h["Cache-Control"] {
		for part := range text.Elements([]byte(line)) {
			name, value, _ := strings.Cut(string(part), "=")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "no-store", "no-cache", "private":
				return 0
			case "max-age":
				if age >= 0 {
					return 0 // twice
				}
				age = seconds(value)
			case "s-maxage":
				if shared >= 0 {
					return 0
				}
				shared = seconds(value)
			}
		}
	}
	if shared >= 0 {
		age = shared
	}
	if h.Get("Vary") == "*" {
		return 0
	}
	if spent := h.Get("Age"); spent != "" {
		age -= seconds(spent)
	}
	return max(age, 0)
}

// seconds reads delta-seconds, RFC 9111 §1.2.2, which may be quoted by mistake; 0 if it is
// none.
func seconds(s string) time.Duration {
	n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(s), `"`), 10, 64)
	if errors.Is(err, strconv.ErrRange) || n > uint64(maxFresh/time.Second) {
		return maxFresh
	}
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
