package upgrade

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/gobwas/httphead"
)

// Source appends every token that it finds in a request to tokens, and returns them. They
// are valid as long as the request is. AuthorizationHeader, Subprotocol, Cookie and Query
// are the four that WebSocket clients use.
type Source func(tokens [][]byte, r *Request) [][]byte

// Bearer returns a guard that lets in requests with a token that v accepts, and puts the
// Identity into the Request. Without sources it asks AuthorizationHeader, Subprotocol,
// Cookie("token") and Query("token").
//
// All sources are asked, and all tokens that they find must be the same one: a request
// with two different tokens is ambiguous, 400, and neither is verified. Without a token,
// or with one that v refuses, it is 401.
//
// If only a cookie brought a good token, it is refused with 403 unless there is an Origin
// that is the same host or listed: a browser sends the cookie whatever page connects. A
// "*" does not list an Origin here; "null" does not count, and neither does a page of
// http: if a proxy says that the request came over TLS. A probe needs no Origin, as a page
// that asks its own host sends none.
func Bearer(v Verifier, sources ...Source) Guard {
	b := &bearerGuard{verifier: v, sources: sources}
	g := Guard{Name: "bearer", OnBeforeUpgrade: b.judge}
	if !neverSlow(v) { // asking each time would cost more than most answers
		g.isSlow, g.prepare = b.isSlow, b.prepare
	}
	return g
}

// BearerUnless is Bearer for routes that are open to strangers in part: a request for which
// isOpen returns true needs no token. A good one is recognised all the same, a bad one counts
// as none, and one that cannot be judged at the moment is refused with 503. isOpen is called
// where the request is judged, and must not block.
func BearerUnless(isOpen func(r *Request) bool, v Verifier, sources ...Source) Guard {
	g := Bearer(v, sources...)
	judge := g.OnBeforeUpgrade
	g.OnBeforeUpgrade = func(r *Request) (http.Header, error) {
		h, err := judge(r)
		if err != nil && isOpen(r) && !isUndecided(err) {
			return nil, nil
		}
		return h, err
	}
	return g
}

// isUndecided reports whether a token could not be judged.
func isUndecided(err error) bool {
	rej := asRejection(err)
	return rej == nil || rej.Status >= http.StatusInternalServerError
}

// bearerGuard has what the hooks of Bearer share.
type bearerGuard struct {
	verifier Verifier
	sources  []Source
}

// judge is OnBeforeUpgrade.
func (b *bearerGuard) judge(r *Request) (http.Header, error) {
	token, fromCookie, err := findToken(r, b.sources)
	if err != nil {
		return nil, err
	}
	if token == nil {
		return nil, errTokenMissing
	}
	id, err := b.verify(r, token)
	if err != nil {
		return nil, refuseToken(err)
	}
	if id == nil {
		return nil, errTokenInvalid
	}
	if fromCookie && !r.page.vouched && !(r.IsProbe() && r.known[hOrigin].count == 0) {
		return nil, errCookieOrigin
	}
	r.Identity = id
	return nil, nil
}

// verify asks the verifier, or goes on where isSlow or prepare left off.
func (b *bearerGuard) verify(r *Request, token []byte) (*Identity, error) {
	if begun := b.begunIn(r); begun != nil {
		if begun.done {
			return begun.id, begun.err
		}
		return begun.Verify(r.now)
	}
	return b.verifier.Verify(token, r.now)
}

// begun is a guard's unfinished work on the token of a request.
type begun struct {
	Verification
	by   *bearerGuard
	done bool // id and err are the verifier's answer
	id   *Identity
	err  error
}

// begunIn returns what the guard has begun with the token of r, or nil.
func (b *bearerGuard) begunIn(r *Request) *begun {
	for i := range r.begun {
		if r.begun[i].by == b {
			return &r.begun[i]
		}
	}
	return nil
}

// isSlow begins to verify the token, once for each request.
func (b *bearerGuard) isSlow(r *Request, now time.Time) bool {
	if begun := b.begunIn(r); begun != nil {
		return !begun.done && begun.IsSlow()
	}
	token, _, err := findToken(r, b.sources)
	if err != nil || token == nil {
		return false
	}
	v := b.verifier.(SlowVerifier).Begin(token, now)
	r.begun = append(r.begun, begun{Verification: v, by: b})
	return v.IsSlow()
}

// prepare waits for the end of what isSlow began.
func (b *bearerGuard) prepare(ctx context.Context, r *Request, now time.Time) {
	if !b.isSlow(r, now) {
		return
	}
	begun := b.begunIn(r)
	begun.id, begun.err = begun.Wait(ctx, now)
	begun.done = true
}

// giveUp makes err the answer of the guards that would have to wait.
func (r *Request) giveUp(err error) {
	for i := range r.begun {
		if b := &r.begun[i]; !b.done && b.IsSlow() {
			b.done, b.err = true, err
		}
	}
}

// usual are the sources that Bearer and FindToken ask if they are given none.
var usual = []Source{AuthorizationHeader, Subprotocol, Cookie("token"), Query("token")}

// FindToken returns the one token that the sources find in r, or nil; without sources it
// asks those that Bearer asks then. An empty token is none. If there are two different
// ones, the error is ErrTokenAmbiguous. It is for guards that look for a token themselves.
// The token is valid as long as the request is.
func FindToken(r *Request, sources ...Source) (token []byte, err error) {
	token, _, err = findToken(r, sources)
	return token, err
}

// findToken is FindToken. fromCookie reports whether only a cookie brought the token.
func findToken(r *Request, sources []Source) (token []byte, fromCookie bool, err error) {
	if len(sources) == 0 {
		sources = usual
	}
	tokens, brought := r.tokens[:0], false
	for _, find := range sources {
		n := len(tokens)
		r.fromCookie = false
		tokens = find(tokens, r)
		for _, t := range tokens[n:] {
			brought = brought || len(t) > 0 && !r.fromCookie
		}
	}
	for _, t := range tokens {
		switch {
		case len(t) == 0:
		case token == nil:
			token = t
		case !bytes.Equal(token, t):
			err = ErrTokenAmbiguous
		}
	}
	clear(tokens)
	r.tokens = tokens[:0]
	if err != nil {
		return nil, false, err
	}
	return token, !brought, nil
}

// refuseToken returns the refusal for a Verifier's error.
func refuseToken(err error) error {
	var rej *Rejection
	switch {
	case errors.As(err, &rej):
		return err
	case errors.Is(err, ErrTokenExpired):
		return errTokenExpired
	case errors.Is(err, ErrSlow):
		return err
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return undecided(err)
	}
	return errTokenInvalid.because(err)
}

// AuthorizationHeader is the source "Authorization: Bearer <token>"; the scheme
// in any case. Other schemes are not tokens.
func AuthorizationHeader(tokens [][]byte, r *Request) [][]byte {
	const scheme = "bearer"
	for _, f := range r.fields {
		if !equalFold(r.bytes(f.name), "authorization") {
			continue
		}
		v := r.bytes(f.value)
		if len(v) > len(scheme) && v[len(scheme)] == ' ' && equalFold(v[:len(scheme)], scheme) {
			tokens = append(tokens, trimSpace(v[len(scheme):]))
		}
	}
	return tokens
}

// Subprotocol is the source "Sec-WebSocket-Protocol: bearer, <token>[, app…]",
// the only header that a page's script can set. The token is never among the
// protocols that are negotiated.
func Subprotocol(tokens [][]byte, r *Request) [][]byte {
	if r.known[hProtocol].count == 0 {
		return tokens
	}
	found := tokens
	r.offers(func(protocol []byte, token bool) {
		if token {
			found = append(found, protocol)
		}
	})
	return found
}

// Cookie returns the source that reads the cookie called name. Bearer says what Origin
// such a token needs.
func Cookie(name string) Source {
	return func(tokens [][]byte, r *Request) [][]byte {
		for _, f := range r.fields {
			if !equalFold(r.bytes(f.name), "cookie") {
				continue
			}
			tokens = scanCookie(tokens, r.bytes(f.value), name)
			r.fromCookie = true
		}
		return tokens
	}
}

// cookies scans as net/http does, but returns values with bytes that no cookie may have:
// the verifier has to refuse such a token, and it must not be overlooked beside another.
var cookies = httphead.CookieScanner{DisableValueValidation: true}

func scanCookie(tokens [][]byte, line []byte, name string) [][]byte {
	cookies.Scan(line, func(key, value []byte) bool {
		if string(key) == name {
			tokens = append(tokens, value)
		}
		return true
	})
	return tokens
}

// Query returns the source that reads the query parameter called name. Escapes
// are decoded; a plus stays a plus, as no token has a space.
func Query(name string) Source {
	return func(tokens [][]byte, r *Request) [][]byte {
		var part []byte
		for rest, more := r.RawQuery(), true; more; {
			part, rest, more = bytes.Cut(rest, []byte{'&'})
			key, value, _ := bytes.Cut(part, []byte{'='})
			if string(key) == name {
				tokens = append(tokens, unescape(value))
			}
		}
		return tokens
	}
}
