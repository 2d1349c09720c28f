//go:build linux

package load

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// Answer is the HTTP response to a request for an upgrade.
type Answer struct {
	Status   int
	Header   []byte // the lines after the status line, without the empty one
	Body     []byte
	Complete bool // the whole body came
}

// maxHead bounds the response kept of one connection.
const maxHead = 256 << 10

// Get returns the value of the first header of this name, nil if there is none.
func (a *Answer) Get(name string) []byte {
	for line := range bytes.SplitSeq(a.Header, []byte("\r\n")) {
		key, value, found := bytes.Cut(line, []byte(":"))
		if found && len(key) == len(name) && bytes.EqualFold(key, []byte(name)) {
			return bytes.TrimSpace(value)
		}
	}
	return nil
}

// RetryAfter is the header of that name, in seconds; 0 if there is none.
func (a *Answer) RetryAfter() time.Duration {
	n, _ := strconv.Atoi(string(a.Get("Retry-After")))
	return time.Duration(n) * time.Second
}

// parseAnswer reads a response from b, which ended there if eof. n is where the
// response ends; n == 0 without an error means that b is too short. After a 101
// there is no body (RFC 9110 §15.2.2).
func parseAnswer(b []byte, eof bool) (a Answer, n int, err error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) > maxHead {
			return a, 0, fmt.Errorf("a head of more than %d bytes", maxHead)
		}
		return a, 0, nil
	}
	line, header, _ := bytes.Cut(b[:end], []byte("\r\n"))
	if a.Status, err = parseStatus(line); err != nil {
		return a, 0, err
	}
	a.Header = header
	body := b[end+4:]
	if a.Status == 101 {
		a.Complete = true
		return a, end + 4, nil
	}
	a.Body, a.Complete = parseBody(&a, body, eof)
	if !a.Complete && !eof && len(b) <= maxHead {
		return a, 0, nil
	}
	return a, len(b), nil
}

// parseStatus reads a status line (RFC 9112 §4).
func parseStatus(line []byte) (int, error) {
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return 0, fmt.Errorf("status line %q", line[:min(len(line), 64)])
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil || status < 100 {
		return 0, fmt.Errorf("status line %q", line[:min(len(line), 64)])
	}
	return status, nil
}

// parseBody returns the body, and whether it is whole: by Content-Length, by the
// last chunk, or by the end of the stream (RFC 9112 §6.3).
func parseBody(a *Answer, b []byte, eof bool) (body []byte, complete bool) {
	if value := a.Get("Content-Length"); value != nil {
		n, err := strconv.ParseUint(string(value), 10, 31)
		if err != nil || len(b) < int(n) {
			return b, false
		}
		return b[:n], true
	}
	if bytes.EqualFold(a.Get("Transfer-Encoding"), []byte("chunked")) {
		return b, bytes.HasSuffix(b, []byte("0\r\n\r\n"))
	}
	return b, eof
}

// checkUpgrade says what is wrong with a 101 (RFC 6455 §4.1), "" for nothing.
func checkUpgrade(a *Answer, nonce [16]byte) string {
	accept := acceptKey(nonce)
	switch {
	case !bytes.EqualFold(a.Get("Upgrade"), []byte("websocket")):
		return "no Upgrade: websocket"
	case !hasToken(a.Get("Connection"), "upgrade"):
		return "no Connection: Upgrade"
	case !bytes.Equal(a.Get("Sec-WebSocket-Accept"), accept[:]):
		return "wrong Sec-WebSocket-Accept"
	case a.Get("Sec-WebSocket-Extensions") != nil:
		return "an extension nobody asked for"
	}
	return ""
}

func hasToken(list []byte, token string) bool {
	for item := range bytes.SplitSeq(list, []byte(",")) {
		if bytes.EqualFold(bytes.TrimSpace(item), []byte(token)) {
			return true
		}
	}
	return false
}
