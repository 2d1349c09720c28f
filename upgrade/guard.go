package upgrade

import (
	"context"
	"net/http"
	"time"
)

// Guard is a check at the door. All hooks are optional. They run while gobwas/ws
// parses the head, and have the names that they have there:
//
//   - OnRequest after the request line,
//   - OnHost with the host the client asked for, before any header line,
//   - OnHeader for every header line that gobwas/ws does not use itself: all
//     but Host, Upgrade, Connection and Sec-WebSocket-*. The key is in canonical
//     form. Request.Header sees every line, as it was sent,
//   - OnBeforeUpgrade after the head, if this guard and all before it passed.
//     Its headers go into the 101, without those that belong to the handshake.
//
// Guards run only if RFC 6455's own checks and the Origin have passed. After its first
// error a guard is not called again. The errors count in the order of the guards, not in
// the order of the header lines: the first guard that failed answers, and no
// OnBeforeUpgrade after it runs.
//
// An error that is or wraps a *Rejection is the answer. Any other error is a bare
// 500 for the client; the caller of Respond gets the whole error.
//
// Hooks run on the goroutine that called Respond and must not block. Their
// Request and bytes are valid until the callback returns. A Guard may be used
// by many Upgraders at once, so its hooks hold no state of one request.
type Guard struct {
	Name string // shown to people who ask what guards a route; optional

	OnRequest       func(r *Request) error
	OnHost          func(r *Request, host []byte) error
	OnHeader        func(r *Request, key, value []byte) error
	OnBeforeUpgrade func(r *Request) (http.Header, error)

	// Upgrader.IsSlow and Upgrader.Prepare call these; Bearer has them.
	isSlow  func(r *Request, now time.Time) bool
	prepare func(ctx context.Context, r *Request, now time.Time)

	// mayBeSlow spares isSlow, and the judging before it, for requests that are quick in any
	// case. nil means that none is known to be.
	mayBeSlow func(r *Request) bool
}
