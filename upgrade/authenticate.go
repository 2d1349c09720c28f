package upgrade

import (
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// Authenticate returns the Identity of a request of net/http, which v finds in the token of
// its Authorization: Bearer. It does for an http.Handler beside the door what the guard
// Bearer does for upgrades; [RefuseHTTP] answers its error as the door would. It blocks
// until the client's address has its turn and the token is verified, or the request's
// context ends.
func Authenticate(v Verifier, req *http.Request, now time.Time) (*Identity, error) {
	var token string
	for _, line := range req.Header.Values("Authorization") {
		scheme, rest, _ := strings.Cut(line, " ")
		switch rest = strings.Trim(rest, " \t"); {
		case !strings.EqualFold(scheme, bearer) || rest == "":
		case token != "" && token != rest:
			return nil, ErrTokenAmbiguous
		default:
			token = rest
		}
	}
	if token == "" {
		return nil, errTokenMissing
	}
	id, err := verifyInTurn(req, v, []byte(token), now)
	switch {
	case err != nil:
		return nil, refuseToken(err)
	case id == nil:
		return nil, errTokenInvalid
	}
	return id, nil
}

// Recognize returns what a door knows of a request that net/http has read and that needs no
// token, before it is passed on to another server, say. If it carries one in the sources,
// those of Bearer by default, that v finds good, the Request has its Identity; a bad one counts
// as none, and so does one in a cookie that a page of another site may have used (see
// Request.MayUseCookies). v may be nil. The error is a refusal, for [RefuseHTTP]: of a head
// that two parsers could read in two ways, or, with 503, because the token cannot be judged at
// the moment. It blocks as Authenticate does.
func (u *Upgrader) Recognize(req *http.Request, v Verifier, sources ...Source) (*Request, error) {
	r, err := u.parseHTTP(req)
	if err != nil || v == nil {
		return r, err
	}
	r.now = u.now()
	r.page = u.judgeOrigin(r)
	token, fromCookie, err := findToken(r, sources)
	if err != nil || token == nil || fromCookie && !r.MayUseCookies() {
		return r, nil
	}
	id, err := verifyInTurn(req, v, token, r.now)
	if err != nil {
		if err = refuseToken(err); isUndecided(err) {
			return r, err
		}
		return r, nil
	}
	r.Identity = id
	return r, nil
}

// verifyInTurn verifies the token of a request that net/http has read, in the turn of
// its address.
func verifyInTurn(req *http.Request, v Verifier, token []byte, now time.Time) (id *Identity, err error) {
	remote, _ := netip.ParseAddrPort(req.RemoteAddr)
	ctx := req.Context()
	busy := inTurn(ctx, remote, true, func() {
		if slow, ok := v.(SlowVerifier); ok {
			id, err = slow.Begin(token, now).Wait(ctx, now)
			return
		}
		id, err = v.Verify(token, now)
	})
	if busy != nil {
		return nil, busy
	}
	return id, err
}
