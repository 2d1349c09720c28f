package upgrade

import (
	"bytes"
	"errors"
	"net/http"

	"github.com/gobwas/httphead"
)

// Source appends every token it finds in a request to tokens. They are valid as
// long as the request is. AuthorizationHeader, Subprotocol, Cookie and Query
// are the four that WebSocket clients use.
type Source func(tokens [][]byte, r *Request) [][]byte

// Bearer returns the guard that lets in who brings a token that v accepts, and
// puts the Identity into the Request. Sources are asked in their order; given
// none, it is AuthorizationHeader, Subprotocol, Cookie("token"),
// Query("token").
//
// All sources are asked, and all tokens they find must be the same one: with
// two different ones the request is ambiguous, 400, and neither is verified.
// Without a token, or with one that v refuses, it is 401.
func Bearer(v Verifier, sources ...Source) Guard {
	if len(sources) == 0 {
		sources = []Source{AuthorizationHeader, Subprotocol, Cookie("token"), Query("token")}
	}
	return Guard{OnBeforeUpgrade: func(r *Request) (http.Header, error) {
		token, err := findToken(r, sources)
		if err != nil {
			return nil, err
		}
		id, err := v.Verify(token, r.now)
		if err != nil {
			return nil, refuseToken(err)
		}
		if id == nil {
			return nil, errTokenInvalid
		}
		r.Identity = id
		return nil, nil
	}}
}

// findToken returns the one token of the request; empty ones are none.
func findToken(r *Request, sources []Source) (token []byte, err error) {
	var tokens [][]byte
	for _, find := range sources {
		tokens = find(tokens, r)
	}
	for _, t := range tokens {
		switch {
		case len(t) == 0:
		case token == nil:
			token = t
		case !bytes.Equal(token, t):
			return nil, errTokenAmbiguous
		}
	}
	if token == nil {
		return nil, errTokenMissing
	}
	return token, nil
}

// refuseToken returns what a Verifier's error means to the client.
func refuseToken(err error) error {
	var rej *Rejection
	switch {
	case errors.As(err, &rej):
		return err
	case errors.Is(err, ErrTokenExpired):
		return errTokenExpired
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
// the only header a page's script can fill. The token is never among the
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

// Cookie returns the source that reads the cookie called name.
func Cookie(name string) Source {
	return func(tokens [][]byte, r *Request) [][]byte {
		for _, f := range r.fields {
			if !equalFold(r.bytes(f.name), "cookie") {
				continue
			}
			tokens = scanCookie(tokens, r.bytes(f.value), name)
		}
		return tokens
	}
}

func scanCookie(tokens [][]byte, line []byte, name string) [][]byte {
	httphead.ScanCookie(line, func(key, value []byte) bool {
		if string(key) == name {
			tokens = append(tokens, value)
		}
		return true
	})
	return tokens
}

// Query returns the source that reads the query parameter called name. Escapes
// are decoded; a plus stays a plus, as no token means a space by it.
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
