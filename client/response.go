//go:build linux

package client

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strconv"

	"github.com/usher-ws/usher/internal/text"
)

// Response is the answer to a request. Its bytes are parts of what it was read from.
type Response struct {
	Status   int
	Minor    int    // of HTTP/1.x
	Header   []byte // the lines after the status line, without the empty one
	Body     []byte // of a refusal, as far as it came; chunks are put together
	Complete bool   // the whole body came
}

// maxResponse bounds what is kept of a response, in bytes. One whose head is longer is
// malformed, a longer body is cut.
const maxResponse = 256 << 10

// All yields the values of all header lines of this name.
func (r *Response) All(name string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for line := range bytes.SplitSeq(r.Header, []byte("\r\n")) {
			key, value, found := bytes.Cut(line, []byte(":"))
			if found && len(key) == len(name) && bytes.EqualFold(key, []byte(name)) && !yield(bytes.TrimSpace(value)) {
				return
			}
		}
	}
}

// Get returns the value of the first header line of this name, nil if there is none.
func (r *Response) Get(name string) []byte {
	for value := range r.All(name) {
		return value
	}
	return nil
}

// ParseResponse reads a response from b, which ended there if eof. n is where it ends, and
// after a 101 frames follow; n == 0 without an error means that b is too short. Interim
// responses before it are passed over (RFC 9110 §15.2). It looks at the framing only: what the
// header lines hold is as it came, also a byte that none may have.
func ParseResponse(b []byte, eof bool) (r Response, n int, err error) {
	for r.Status < 200 && r.Status != http.StatusSwitchingProtocols {
		end := bytes.Index(b[n:], []byte("\r\n\r\n"))
		if end < 0 {
			if len(b) > maxResponse {
				return r, 0, fmt.Errorf("a head of more than %d bytes", maxResponse)
			}
			return Response{}, 0, nil
		}
		line, header, _ := bytes.Cut(b[n:n+end], []byte("\r\n"))
		if r.Status, r.Minor, err = parseStatus(line); err != nil {
			return r, 0, err
		}
		r.Header = header
		n += end + len("\r\n\r\n")
	}
	switch r.Status {
	case http.StatusSwitchingProtocols, http.StatusNoContent, http.StatusNotModified: // RFC 9112 §6.3
		r.Complete = true
		return r, n, nil
	}
	r.Body, r.Complete = r.body(b[n:], eof)
	if !r.Complete && !eof && len(b) <= maxResponse {
		return Response{}, 0, nil
	}
	return r, len(b), nil
}

// parseStatus reads a status line (RFC 9112 §4).
func parseStatus(line []byte) (status, minor int, err error) {
	if len(line) >= 12 && bytes.HasPrefix(line, []byte("HTTP/1.")) && line[8] == ' ' && (len(line) == 12 || line[12] == ' ') {
		code, err := strconv.ParseUint(string(line[9:12]), 10, 16)
		if minor := line[7]; err == nil && code >= 100 && minor >= '0' && minor <= '9' {
			return int(code), int(minor - '0'), nil
		}
	}
	return 0, 0, fmt.Errorf("status line %q", line[:min(len(line), 64)])
}

// body returns the body, and whether it is whole: by the last chunk, by Content-Length, or
// by the end of the stream (RFC 9112 §6.3).
func (r *Response) body(b []byte, eof bool) (body []byte, complete bool) {
	if bytes.EqualFold(r.Get("Transfer-Encoding"), []byte("chunked")) {
		return unchunk(b)
	}
	if value := r.Get("Content-Length"); value != nil {
		n, err := strconv.ParseUint(string(value), 10, 31)
		if err != nil || len(b) < int(n) {
			return b, false
		}
		return b[:n], true
	}
	return b, eof
}

// unchunk puts chunks together (RFC 9112 §7.1), and reports whether the last one came. What
// follows a malformed one is never complete.
func unchunk(b []byte) (body []byte, complete bool) {
	for {
		line, rest, found := bytes.Cut(b, []byte("\r\n"))
		size, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseUint(string(bytes.TrimSpace(size)), 16, 31)
		switch {
		case !found || err != nil:
			return body, false
		case n == 0: // trailers, and an empty line
			return body, bytes.HasPrefix(rest, []byte("\r\n")) || bytes.Contains(rest, []byte("\r\n\r\n"))
		case len(rest) < int(n)+len("\r\n"):
			return append(body, rest[:min(int(n), len(rest))]...), false
		case !bytes.HasPrefix(rest[n:], []byte("\r\n")):
			return body, false
		}
		body = append(body, rest[:n]...)
		b = rest[int(n)+len("\r\n"):]
	}
}

// What can be wrong with a 101.
var (
	errUpgrade     = errors.New("client: no Upgrade: websocket")
	errConnection  = errors.New("client: no Connection: Upgrade")
	errAccept      = errors.New("client: wrong Sec-WebSocket-Accept")
	errExtension   = errors.New("client: an extension nobody asked for")
	errSubprotocol = errors.New("client: a subprotocol nobody asked for")
)

// check says what is wrong with a 101 to a request (RFC 6455 §4.1).
func (r *Response) check(to *Request, key Key) error {
	accept := key.accept()
	switch {
	case !bytes.EqualFold(r.Get("Upgrade"), []byte("websocket")):
		return errUpgrade
	case !r.names("Connection", "upgrade"):
		return errConnection
	case !bytes.Equal(r.Get("Sec-WebSocket-Accept"), accept[:]):
		return errAccept
	case r.Get("Sec-WebSocket-Extensions") != nil:
		return errExtension
	}
	for chosen := range r.All("Sec-WebSocket-Protocol") {
		if !to.offers(chosen) {
			return errSubprotocol
		}
	}
	return nil
}

// offers reports whether the request offers a subprotocol.
func (r *Request) offers(chosen []byte) bool {
	for p := range text.Elements([]byte(r.Subprotocols)) {
		if bytes.Equal(p, chosen) {
			return true
		}
	}
	return false
}

// names reports whether a list header names token in any of its lines.
func (r *Response) names(header, token string) bool {
	for list := range r.All(header) {
		for item := range text.Elements(list) {
			if bytes.EqualFold(item, []byte(token)) {
				return true
			}
		}
	}
	return false
}
