package upgrade

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	problemJSON = "application/problem+json" // RFC 9457

	// maxBody keeps a body under 1 KiB: gorilla/websocket and coder/websocket
	// show their callers no more than the first 1024 bytes of one.
	maxBody = 1023
	maxCode = 64
)

// Rejection is a refusal: an HTTP status with a stable code for programs and a
// line of detail for people. Guards return one as their error, and AppendTo is
// the one place that writes it.
//
// A *Rejection is never modified once it is returned, so it may be shared and
// kept in a variable; WithHeader and WithRetryAfter return changed copies.
type Rejection struct {
	Status int    // 300 to 599 without 304; anything else is answered as 500
	Code   string // one of the Code words, or your own; "" becomes the status in words
	Detail string // one line, shown to the client; "" becomes the status in words

	// Header holds further header lines. Those that frame the response, and those
	// that every refusal has (Content-Type, Connection, Cache-Control, Date …),
	// are left out.
	Header http.Header

	// Body, if there is one, is sent instead of the problem, as ContentType. If it is
	// longer than 1023 bytes, the problem is sent after all. Do not change its bytes.
	Body        []byte
	ContentType string // "" becomes text/plain; charset=utf-8

	// RetryAfter is how long the client should wait before it comes back, rounded up
	// to seconds. 429 and 503 always say so; the default is one second.
	RetryAfter time.Duration

	challenge string  // what follows Bearer in WWW-Authenticate
	cause     error   // why, for the log; never on the wire
	rendered  problem // by Reject
}

// Reject returns a refusal for a guard to return. It renders the body at once, so
// that a refusal which is kept in a variable costs little to send.
func Reject(status int, code, detail string) *Rejection {
	e := &Rejection{Status: status, Code: code, Detail: detail}
	e.rendered = render(e.StatusCode(), code, detail)
	return e
}

// internal returns the bare 500 that hides err from the client, but not from the
// caller.
func internal(err error) *Rejection { return errInternal.because(err) }

// because returns a copy of e that wraps err.
func (e *Rejection) because(err error) *Rejection {
	c := *e
	c.cause = err
	return &c
}

// WithHeader returns a copy of e that also carries the header line key: value.
func (e *Rejection) WithHeader(key, value string) *Rejection {
	c := *e
	if c.Header = e.Header.Clone(); c.Header == nil {
		c.Header = make(http.Header, 1)
	}
	c.Header.Add(key, value)
	return &c
}

// WithRetryAfter returns a copy of e that asks the client to wait for d.
func (e *Rejection) WithRetryAfter(d time.Duration) *Rejection {
	c := *e
	c.RetryAfter = d
	return &c
}

// Error returns the refusal in one line for logs, with its cause.
func (e *Rejection) Error() string {
	s := fmt.Sprintf("upgrade: %d %s: %s", e.Status, e.Code, e.Detail)
	if e.cause != nil {
		s += ": " + e.cause.Error()
	}
	return s
}

// Unwrap returns the error of a guard or a Verifier that led to this refusal, if one
// did.
func (e *Rejection) Unwrap() error { return e.cause }

// Word returns the code as the body of the answer has it: of a Rejection without one it is
// made of the status.
func (e *Rejection) Word() string {
	return strings.ToValidUTF8(codeOr(e.Code, e.StatusCode()), "\uFFFD")
}

// StatusCode returns the status that the client gets: Status, or 500 if Status cannot
// be that of a refusal, which has a body and does not mean success.
func (e *Rejection) StatusCode() int {
	if e.Status < 300 || e.Status > 599 || e.Status == http.StatusNotModified {
		return http.StatusInternalServerError
	}
	return e.Status
}

// AppendTo appends the whole response to dst. r is the request that it answers, or
// nil if there is none: it decides whether a body may follow (not for HEAD) and
// whether a page of another origin may read the answer. now becomes Date.
//
// The response has what its status requires: 401 names a scheme, 405 the methods, 426
// the protocol and its version, 429 and 503 a time to come back. The problem is valid
// JSON under 1 KiB whatever Code and Detail hold, and no header value can end its
// line.
func (e *Rejection) AppendTo(dst []byte, r *Request, now time.Time) []byte {
	status := e.StatusCode()
	var room [maxBody]byte
	body, media := e.body(room[:0], status)

	dst = appendStatusLine(dst, status, now)
	dst = append(dst, "Content-Type: "...)
	dst = append(appendValue(dst, media), "\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	if status == http.StatusUpgradeRequired {
		// Upgrade is hop by hop, so Connection must name it: RFC 9110 §7.8.
		dst = append(dst, "\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"...)
	} else {
		dst = append(dst, "\r\nConnection: close"...)
	}
	dst = append(dst, "\r\nCache-Control: no-store\r\n"...)
	dst = e.appendRequired(dst, status)
	cors := r != nil && r.mayRead()
	if cors {
		dst = appendCORS(dst, r)
	}
	dst = e.appendHeader(dst, cors)
	dst = append(dst, "\r\n"...)
	if r != nil && string(r.bytes(r.method)) == http.MethodHead {
		return dst
	}
	return append(dst, body...)
}

// appendRequired appends the header lines that HTTP requires with the status, unless e
// has them.
func (e *Rejection) appendRequired(dst []byte, status int) []byte {
	switch status {
	case http.StatusUnauthorized:
		if !e.has("WWW-Authenticate") { // RFC 9110 §15.5.2
			dst = append(append(dst, "WWW-Authenticate: Bearer"...), e.challenge...)
			dst = append(dst, "\r\n"...)
		}
	case http.StatusMethodNotAllowed:
		if !e.has("Allow") { // RFC 9110 §15.5.6
			dst = append(dst, "Allow: GET, HEAD, OPTIONS\r\n"...)
		}
	}
	wait := e.RetryAfter
	if wait > 0 || !e.has("Retry-After") {
		wait = e.wait(status)
	}
	if wait > 0 {
		dst = append(dst, "Retry-After: "...)
		dst = strconv.AppendInt(dst, int64((wait+time.Second-1)/time.Second), 10)
		dst = append(dst, "\r\n"...)
	}
	return dst
}

// wait returns how long the client is asked to stay away; 0 if it is not asked.
func (e *Rejection) wait(status int) time.Duration {
	if e.RetryAfter <= 0 && (status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable) {
		return time.Second
	}
	return max(e.RetryAfter, 0)
}

func (e *Rejection) has(name string) bool {
	for key, values := range e.Header {
		if len(values) > 0 && equalFold(key, name) {
			return true
		}
	}
	return false
}

// appendHeader appends e.Header, sorted, without the reserved lines.
func (e *Rejection) appendHeader(dst []byte, cors bool) []byte {
	if len(e.Header) == 0 {
		return dst
	}
	var room [8]string
	keys := room[:0]
	for key := range e.Header {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if e.reserved(key, cors) {
			continue
		}
		for _, value := range e.Header[key] {
			dst = append(append(dst, spelled(key)...), ": "...)
			dst = appendValue(dst, value)
			dst = append(dst, "\r\n"...)
		}
	}
	return dst
}

// spelled returns the name of a header line as the standards write it, where that is
// not the canonical form of http.Header.
func spelled(key string) string {
	if equalFold(key, "WWW-Authenticate") {
		return "WWW-Authenticate"
	}
	return key
}

// reserved reports whether a header line of e.Header must not be sent.
func (e *Rejection) reserved(key string, cors bool) bool {
	if key == "" || !all(key, isToken) {
		return true
	}
	for _, name := range framing {
		if equalFold(key, name) {
			return true
		}
	}
	return cors && len(key) > 21 && equalFold(key[:21], "Access-Control-Allow-") ||
		e.RetryAfter > 0 && equalFold(key, "Retry-After")
}

// framing are the header lines that a Rejection writes itself, or that would
// contradict what it writes.
var framing = [...]string{
	"Content-Type", "Content-Length", "Content-Encoding", "Transfer-Encoding", "Trailer",
	"Connection", "Keep-Alive", "Upgrade", "Sec-WebSocket-Version", "Sec-WebSocket-Accept",
	"Cache-Control", "Date",
}

// appendValue appends a header value. A byte that could end the line, or hide in it,
// becomes a space.
func appendValue(dst []byte, s string) []byte {
	for _, c := range []byte(strings.TrimSpace(s)) {
		if c < ' ' || c == 0x7f {
			c = ' '
		}
		dst = append(dst, c)
	}
	return dst
}
