package upgrade

import (
	"net/http"
	"strconv"
	"time"

	"github.com/usher-ws/usher/frame"
)

// acceptClose appends a 101, and a close frame that says what e says. It appends nothing
// and reports false if there is no close code for e, or if r is not an upgrade that
// RFC 6455 lets succeed.
func (u *Upgrader) acceptClose(dst []byte, r *Request, e *Rejection) ([]byte, bool) {
	status := e.StatusCode()
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests:
	default:
		return dst, false
	}
	if r.IsProbe() || r.checkHandshake(false) != nil || r.negotiate(u.Subprotocols) != nil {
		return dst, false
	}
	r.deflate = noDeflate // for one small frame
	unguarded := &Upgrader{Subprotocols: u.Subprotocols}
	out, err := unguarded.handshake(dst, r, false)
	if err != nil {
		return dst, false
	}
	return frame.AppendCloseFrame(out, frame.StatusCode(4000+status), e.closeReason(status)), true
}

// maxReason is what a control frame holds behind the status code, RFC 6455 §5.5.
const maxReason = 125 - 2

// RetryHint returns what the reason of a close frame says of when to come back: in whole
// milliseconds, not before d has passed, and 1 at least.
func RetryHint(d time.Duration) string {
	ms := max(1, int64((d+time.Millisecond-1)/time.Millisecond))
	return "; retry-after-ms=" + strconv.FormatInt(ms, 10)
}

// closeReason returns the code, as much of it as fits, and when to come back.
func (e *Rejection) closeReason(status int) string {
	code, hint := codeOr(e.Code, status), ""
	if wait := e.wait(status); wait > 0 {
		hint = RetryHint(wait)
	}
	var room [maxReason]byte
	return string(appendEscaped(room[:0], code, maxReason-len(hint))) + hint
}
