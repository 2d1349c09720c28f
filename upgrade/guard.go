package upgrade

import (
	"context"
	"net/http"
	"time"
)

// Guard is a check at the door. All hooks are optional, run during gobwas/ws's
// own parse of the head and are named as there:
//
//   - OnRequest after the request line,
//   - OnHost with the host the client asked for, before any header line,
//   - OnHeader for every header line that gobwas/ws does not use itself, that
//     is all but Host, Upgrade, Connection and Sec-WebSocket-*; its key is in
//     canonical form. Request.Header sees them all, as they were sent,
//   - OnBeforeUpgrade after the head, if this guard and all before it passed.
//     Its headers go into the 101; those the handshake is made of are left out.
//
// Guards run only when RFC 6455's own checks and the Origin have passed. A
// guard's first error silences it, and the errors are judged in the order of
// the guards, never in the order of the header lines: the first guard that
// failed answers, and no OnBeforeUpgrade after it runs.
//
// A *Rejection, also a wrapped one, is the answer. Any other error is a bare
// 500 for the client and for the caller of Respond the whole error.
//
// Hooks run on the goroutine that called Respond and must not block. Their
// Request and bytes are valid until the callback returns. A Guard may be used
// by many Upgraders at once, so its hooks hold no state of one request.
type Guard struct {
	Name string // for people who ask what guards a route; not needed

	OnRequest       func(r *Request) error
	OnHost          func(r *Request, host []byte) error
	OnHeader        func(r *Request, key, value []byte) error
	OnBeforeUpgrade func(r *Request) (http.Header, error)

	// What Upgrader.IsSlow and Upgrader.Prepare call; Bearer has them.
	isSlow  func(r *Request, now time.Time) bool
	prepare func(ctx context.Context, r *Request, now time.Time)
}
