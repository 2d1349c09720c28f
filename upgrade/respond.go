package upgrade

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"time"
)

// Upgrader holds the settings of a door. The zero Upgrader lets in every well-formed
// upgrade, except from pages of other sites. An Upgrader is read only once in use; any
// number of goroutines may use it.
type Upgrader struct {
	// Guards decide which requests may come in, and Origins which pages, besides those
	// of the same host. An origin is host, host:port, *.host, scheme://host[:port], "null",
	// "file://" or "*"; a port that is left out is the scheme's own.
	Guards  []Guard
	Origins []string

	// TrustedProxies are the proxies whose headers are believed: see Trace. From everybody
	// else such headers are ignored.
	TrustedProxies Proxies

	// Subprotocols are those that the server speaks, the preferred one first.
	Subprotocols []string

	// Deflate lets the 101 agree to permessage-deflate (RFC 7692) if the client offers
	// it: always without context takeover, so that no connection has to hold a window,
	// and with the window that the client asks us to use. See Request.Deflate.
	Deflate bool

	// AcceptClose is for pages, whose browsers hide a refused handshake from
	// them. An upgrade that is refused with 401, 403, 404 or 429 then gets a 101 and
	// a close frame, 4401, 4403, 4404 or 4429. Its reason is the code, and if the
	// refusal says when to come back, that as well: "too_many_requests;
	// retry-after-ms=5000". All other refusals are answered in HTTP as usual.
	AcceptClose bool

	// Authorize is for decisions that take time, in a database or a service. Upgrade,
	// UpgradeHTTP and Handler ask it about a request that everything else lets in, and
	// about a probe of one. It may block, and may set r.Identity; its error is answered
	// like a guard's. ctx ends when the client hangs up, and after Timeout, which is
	// answered with 503. Respond, which is pure, does not call it.
	//
	// MaxAuthorize is how many requests it may be asked about at a time; others are
	// told to come back, 503. 0 means 1024, less than 0 any number.
	Authorize    func(ctx context.Context, r *Request) error
	MaxAuthorize int

	// Upgrade, UpgradeHTTP and Handler tell Logger of every refusal at level debug; of
	// an origin that is refused at info, once a minute for each; and at error, if the
	// client sees a bare 500, with what error a guard or Authorize failed. nil means
	// slog.Default(). No credential of the request is in the log.
	//
	// They call Refused for every refusal, to count it, say, on the goroutine that has
	// judged the request: e is the answer, and err the error that led to it. r is valid
	// until Refused returns.
	Logger  *slog.Logger
	Refused func(r *Request, e *Rejection, err error)

	// MaxHeaderBytes and MaxHeaderLines are the caps of a head; 0 means 16 KiB and 100
	// lines. MaxHeaderBytes can be no more than MaxHeaderLimit.
	MaxHeaderBytes int
	MaxHeaderLines int

	// Timeout bounds the steps of Upgrade, UpgradeHTTP and Handler; 0 means 10 s.
	// Lingering after a refusal has a bound of its own.
	Timeout time.Duration

	// Now tells the time for tokens and the Date header; nil means time.Now.
	Now func() time.Time

	asking int32 // about how many requests Authorize is asked; atomic
}

// Respond returns one of these when its answer is neither 101 nor a refusal.
var (
	ErrProbe     = errors.New("upgrade: probe answered: an upgrade would succeed")
	ErrPreflight = errors.New("upgrade: preflight answered")
)

// Respond judges a parsed request and appends the whole response to dst. It judges
// rows 4 to 8 of docs/CODES.md, and the guards those behind; the order of the header
// lines does not matter.
//
// Without an error the response is the 101. With an error the response is complete
// too, and the connection has to be closed after it: the error is ErrProbe,
// ErrPreflight, or has a *Rejection in its chain. A Rejection whose status is 500 wraps
// the error of a guard, for the log.
//
// Each guard runs at most once. Respond does no I/O and does not block, unless
// a guard does. A request for which IsSlow is true is answered with a 500 if it was not
// prepared.
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

// IsSlow reports whether it takes long to judge this request, because a guard's
// SlowVerifier says so of its token. Prepare then has to be called before Respond: an
// event loop has it called on another goroutine, with a Clone. IsSlow is quick, and false
// for a request that would not reach the guards.
func (u *Upgrader) IsSlow(r *Request) bool {
	var now time.Time
	for i := range u.Guards {
		g := &u.Guards[i]
		if g.isSlow == nil || g.mayBeSlow != nil && !g.mayBeSlow(r) {
			continue
		}
		if now.IsZero() {
			if !u.judgeOrigin(r).allowed || r.checkHandshake(r.IsProbe()) != nil {
				return false
			}
			now = u.now()
		}
		if g.isSlow(r, now) {
			return true
		}
	}
	return false
}

// Prepare does the part of judging r that takes long; Respond is quick afterwards.
// Nothing is answered yet. Prepare may block until ctx ends; let ctx end when the client
// has gone. It may be called on any goroutine, to which r belongs meanwhile. The requests
// of a process take turns by their address, r.RemoteAddr.
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

// prepare is Prepare, for no longer than Timeout.
func (u *Upgrader) prepare(ctx context.Context, r *Request) {
	ctx, cancel := context.WithTimeout(ctx, u.timeout())
	defer cancel()
	u.Prepare(ctx, r)
}

// Refuse appends the answer to a request that something other than a guard refuses, a
// quota perhaps, in the form that u's own refusals have. r may be nil if there is no
// request. The error that it returns has a *Rejection in its chain, like Respond's: it is
// err, or wraps err if that has none.
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

// checkHandshake judges rows 4 to 7 of docs/CODES.md: is this an upgrade that RFC 6455
// §4.2.1 permits, or a probe or a preflight?
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
