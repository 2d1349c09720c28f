package upgrade

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"time"
)

// Upgrader holds what decides about upgrades. The zero Upgrader lets in every
// well-formed upgrade that no page of another site sends. It is read only once
// in use, by any number of goroutines.
type Upgrader struct {
	// Who may come in.
	Guards  []Guard
	Origins []string // further origins: host, host:port, *.host, scheme://host[:port], "null", "file://" or "*"; a port left out is the scheme's own

	// Subprotocols the server speaks, the preferred first.
	Subprotocols []string

	// Deflate lets the 101 agree to permessage-deflate (RFC 7692) where the client
	// offers it, always without context takeover, so that no connection holds a
	// window, and with the window that the client asks of us. See Request.Deflate.
	Deflate bool

	// AcceptClose is for pages, whose browsers hide a refused handshake from
	// them: an upgrade that is refused with 401, 403, 404 or 429 gets a 101 and
	// then a close frame, 4401, 4403, 4404 or 4429, whose reason is the code,
	// and when to come back if the refusal says so: "too_many_requests;
	// retry-after-ms=5000". All else is answered in HTTP as ever.
	AcceptClose bool

	// Authorize is for what takes time, a database or a service: Upgrade,
	// UpgradeHTTP and Handler ask it when all else has let a request in, or would
	// let in whom a probe speaks for. It may block, and may set r.Identity; its
	// error is answered as a guard's. ctx ends when the client hangs up, or after
	// Timeout: 503. Respond, which is pure, does not call it.
	//
	// MaxAuthorize is how many may be asked about at one time; whoever comes then
	// is told to come back, 503. 0 means 1024, less than 0 any number.
	Authorize    func(ctx context.Context, r *Request) error
	MaxAuthorize int

	// Logger is told by Upgrade, UpgradeHTTP and Handler what a guard or Authorize
	// failed with where the client sees a bare 500, at level error; once a minute of
	// each origin that is refused, at info; and of all refusals at debug. nil means
	// slog.Default(). No credential of the request is in it.
	//
	// Refused is called by the same for each refusal, to count it, say, on the
	// goroutine that has judged it: e is the answer, and err what led to it. r is
	// valid until Refused returns.
	Logger  *slog.Logger
	Refused func(r *Request, e *Rejection, err error)

	// Caps of the head; 0 means 16 KiB and 100 header lines. MaxHeaderLimit is the
	// most that MaxHeaderBytes can be.
	MaxHeaderBytes int
	MaxHeaderLines int

	// Timeout bounds Upgrade and UpgradeHTTP, and nothing else here; 0 means
	// 10 s. Lingering after a refusal has a bound of its own.
	Timeout time.Duration

	// Now tells the time for tokens and the Date header; nil means time.Now.
	Now func() time.Time

	asking int32 // how many Authorize is asked about; atomic
}

// What Respond returns when it has answered, but neither 101 nor a refusal.
var (
	ErrProbe     = errors.New("upgrade: probe answered: an upgrade would succeed")
	ErrPreflight = errors.New("upgrade: preflight answered")
)

// Respond judges a parsed request and appends the whole response to dst. It
// does rows 4 to 9 of the order of verdicts, and the guards may do the rest;
// the order of the header lines has no say.
//
// Without an error the response is the 101. Otherwise the response is complete
// too, and the connection is to be closed after it: the error is ErrProbe,
// ErrPreflight, or has a *Rejection in its chain. One whose status is 500 wraps
// what a guard failed with, for the log.
//
// Each guard runs at most once. Respond does no I/O and does not block, unless
// a guard does. A request for which IsSlow is true and that was not prepared is
// answered with a 500.
func (u *Upgrader) Respond(dst []byte, r *Request) ([]byte, error) {
	r.now = time.Time{}
	r.page = u.judgeOrigin(r)
	probe := r.IsProbe()
	err := r.checkHandshake(probe)
	if err == nil {
		err = r.negotiate(u.Subprotocols)
	}
	r.deflate = noDeflate
	if err == nil && u.Deflate {
		err = r.negotiateDeflate()
	}
	if err == nil && !r.page.allowed {
		err = errOrigin
	}
	if err == nil {
		if probe || len(u.Guards) > 0 {
			r.now = u.now()
		}
		dst, err = u.handshake(dst, r, probe)
	}
	switch {
	case err == nil && !probe:
		return dst, nil
	case err == nil:
		return appendProbe(dst, r, r.now), ErrProbe
	case err == ErrPreflight:
		return appendPreflight(dst, r, u.now()), err
	}
	return u.Refuse(dst, r, err)
}

// IsSlow reports whether it takes long to judge this request: whether a guard's
// SlowVerifier says so of its token. Prepare is then to be called before Respond, by
// an event loop with a Clone and elsewhere. IsSlow is quick, and false for a request
// that would not reach the guards.
func (u *Upgrader) IsSlow(r *Request) bool {
	var now time.Time
	for i := range u.Guards {
		f := u.Guards[i].isSlow
		if f == nil {
			continue
		}
		if now.IsZero() {
			if !u.judgeOrigin(r).allowed || r.checkHandshake(r.IsProbe()) != nil {
				return false
			}
			now = u.now()
		}
		if f(r, now) {
			return true
		}
	}
	return false
}

// Prepare does what takes long of judging r, and may block until ctx ends, which it
// should when the client has gone; Respond is quick afterwards. Nothing is answered
// yet. It may be called on any goroutine, which r belongs to meanwhile. Requests of one
// process wait for their turn, by address: r.RemoteAddr.
func (u *Upgrader) Prepare(ctx context.Context, r *Request) {
	now := u.now()
	err := inTurn(ctx, r.RemoteAddr, false, func() {
		for i := range u.Guards {
			if f := u.Guards[i].prepare; f != nil {
				f(ctx, r, now)
			}
		}
	})
	if err != nil {
		r.giveUp(err)
	}
}

// prepare is Prepare for as long as Timeout.
func (u *Upgrader) prepare(ctx context.Context, r *Request) {
	ctx, cancel := context.WithTimeout(ctx, u.timeout())
	defer cancel()
	u.Prepare(ctx, r)
}

// Refuse appends the answer to a request that is refused by something else than
// a guard, a quota perhaps: as u would refuse it. r may be nil when there is no
// request to speak of. The error it returns is to Refuse what Respond's is to
// Respond: it has a *Rejection in its chain, and is err unless that has none.
func (u *Upgrader) Refuse(dst []byte, r *Request, err error) ([]byte, error) {
	rej, ok := err.(*Rejection)
	if !ok {
		rej = asRejection(err)
	}
	if rej == nil {
		rej = internal(err)
		err = rej
	}
	if u.AcceptClose && r != nil {
		if out, ok := u.acceptClose(dst, r, rej); ok {
			return out, err
		}
	}
	var now time.Time
	if r != nil {
		now = r.now
	}
	if now.IsZero() {
		now = u.now()
	}
	return rej.AppendTo(dst, r, now), err
}

// asRejection finds the *Rejection in err's chain, or nil.
func asRejection(err error) (rej *Rejection) {
	errors.As(err, &rej)
	return rej
}

func (u *Upgrader) now() time.Time {
	if u.Now != nil {
		return u.Now()
	}
	return time.Now()
}

// checkHandshake is rows 4 to 7: is this an upgrade that RFC 6455 §4.2.1
// permits, or a question we answer otherwise?
func (r *Request) checkHandshake(probe bool) error {
	switch method := string(r.bytes(r.method)); {
	case method == "OPTIONS":
		return ErrPreflight
	case method != "GET" && method != "HEAD":
		return errMethod
	case probe:
		return nil
	case !r.upgrade || method == "HEAD": // an upgrade is a GET
		return errNoUpgrade
	}
	if r.known[hVersion].count != 1 || string(r.firstOf(hVersion)) != "13" {
		return errWSVersion // two lines make a list, which is not 13
	}
	if !validKey(r.firstOf(hKey)) {
		return errKey
	}
	if !r.names(hConnection, "upgrade") {
		return errConnection
	}
	return nil
}

// validKey reports whether key is 16 bytes in base64.
func validKey(key []byte) bool {
	const n = 22 // base64 digits of 16 bytes, before the padding
	return len(key) == base64.StdEncoding.EncodedLen(16) &&
		all(key[:n], isBase64) && key[n] == '=' && key[n+1] == '='
}
