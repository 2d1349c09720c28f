package forwardauth

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/usher-ws/usher/internal/text"
	"github.com/usher-ws/usher/upgrade"
)

const (
	maxBody = 1023 // what a Rejection takes
	maxWait = 24 * time.Hour
)

// refusal returns the service's answer as a Rejection.
func refusal(r *upgrade.Request, answer *http.Response) *upgrade.Rejection {
	e := upgrade.Reject(answer.StatusCode, codeOf(r, answer.StatusCode), "")
	for _, challenge := range answer.Header["Www-Authenticate"] {
		e = e.WithHeader("WWW-Authenticate", challenge)
	}
	if wait := retryAfter(answer); wait > 0 {
		e = e.WithRetryAfter(wait)
	}
	// A body that cannot be read, is coded or is too long is not passed on. Only plain
	// text is cut, as it makes sense up to there.
	b, err := io.ReadAll(io.LimitReader(answer.Body, maxBody+1))
	media := answer.Header.Get("Content-Type")
	if err != nil || len(b) == 0 || answer.Header.Get("Content-Encoding") != "" {
		return e
	}
	if len(b) > maxBody {
		if !strings.HasPrefix(strings.ToLower(media), "text/plain") {
			return e
		}
		b = text.Prefix(b, maxBody)
	}
	e.Body, e.ContentType = b, media
	if code := codeIn(b, media); code != "" {
		e.Code = code
	}
	return e
}

// codeOf returns our code for a refusal that has none.
func codeOf(r *upgrade.Request, status int) string {
	switch status {
	case http.StatusUnauthorized:
	case http.StatusForbidden:
		return upgrade.CodeForbidden
	case http.StatusNotFound:
		return upgrade.CodeNotFound
	case http.StatusTooManyRequests:
		return upgrade.CodeTooManyRequests
	default:
		return "" // the status in words
	}
	if r.Header("Authorization") == nil && r.Header("Cookie") == nil && len(r.RawQuery()) == 0 && len(upgrade.Subprotocol(nil, r)) == 0 {
		return upgrade.CodeTokenMissing
	}
	return upgrade.CodeTokenInvalid
}

// codeIn returns the member "code" of a problem, if it is a word like ours.
func codeIn(body []byte, media string) string {
	var problem struct {
		Code string `json:"code"`
	}
	if !strings.Contains(media, "json") || json.Unmarshal(body, &problem) != nil || len(problem.Code) > 64 {
		return ""
	}
	for _, c := range problem.Code {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' && c != '.' {
			return ""
		}
	}
	return problem.Code
}

// retryAfter reads Retry-After, which is seconds or a date; 0 if it is neither.
func retryAfter(answer *http.Response) time.Duration {
	v := answer.Header.Get("Retry-After")
	if n, err := strconv.ParseUint(v, 10, 32); err == nil {
		return min(time.Duration(n)*time.Second, maxWait)
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0
	}
	return min(max(time.Until(at), 0), maxWait)
}
