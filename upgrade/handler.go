package upgrade

import (
	"bufio"
	"bytes"
	"context"
	"maps"
	"net/http"
	"time"
)

// Handler returns a handler that calls next for the upgrades that u lets in, and
// answers every other request itself: it is the door for another library's WebSocket
// handler. A refusal has the same bytes as from UpgradeHTTP, and the connection lingers.
//
// next gets the request unchanged, and does its own handshake. FromContext returns what
// the door knows of the request. The headers that guards want in the 101 are in the Header
// of next's ResponseWriter. Set up next's library in two respects: it has to leave the
// Origin to the door, if u allows others than the same host; and it has to accept the
// subprotocol "bearer", for clients that send their token that way and offer no other.
func (u *Upgrader) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r, out, err := u.judgeHTTP(req)
		if err != nil {
			u.turnAway(w, req, out, err)
			return
		}
		keepHeader(w.Header(), out)
		next.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), requestKey{}, r)))
	})
}

type requestKey struct{}

// FromContext returns the request that Handler let in, with its Identity and
// Subprotocol; nil in any other context. It owns its memory and is read only.
func FromContext(ctx context.Context) *Request {
	r, _ := ctx.Value(requestKey{}).(*Request)
	return r
}

// judgeHTTP judges a request that net/http has read, and writes the answer.
func (u *Upgrader) judgeHTTP(req *http.Request) (r *Request, out []byte, err error) {
	r, err = u.parseHTTP(req)
	if err != nil {
		out, err = u.Refuse(nil, r, err)
	} else {
		if u.IsSlow(r) {
			u.prepare(req.Context(), r)
		}
		out, err = u.Respond(nil, r)
	}
	if u.asks(err) {
		if no := u.authorize(req.Context(), r); no != nil {
			out, err = u.Refuse(nil, r, no)
		}
	}
	if err != nil {
		u.tell(r, err)
	}
	return r, out, err
}

// turnAway sends the answer to a request that is not upgraded: over the connection, so
// that it can linger, or through w if w cannot be hijacked, as in HTTP/2.
func (u *Upgrader) turnAway(w http.ResponseWriter, req *http.Request, out []byte, verdict error) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		replay(w, req, out)
		return
	}
	_ = deliver(conn, out, u.timeout(), verdict)
}

// keepHeader copies the headers that guards want in the 101 to h, without those that
// belong to the handshake.
func keepHeader(h http.Header, response []byte) {
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(response)), nil)
	if err == nil {
		maps.Copy(h, merge(nil, resp.Header))
	}
}

// ServeHTTP answers with e, so that a Rejection can be the http.Handler of paths
// that do not exist, and a handler can refuse in the door's own words. net/http remains in
// charge of the connection, and of how the refusal arrives.
func (e *Rejection) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	replay(w, req, e.AppendTo(nil, nil, time.Now()))
}

// RefuseHTTP answers a request of net/http with the *Rejection in err's chain, or with a
// bare 500 if there is none; see Rejection.ServeHTTP.
func RefuseHTTP(w http.ResponseWriter, req *http.Request, err error) {
	rej := asRejection(err)
	if rej == nil {
		rej = internal(err)
	}
	rej.ServeHTTP(w, req)
}
