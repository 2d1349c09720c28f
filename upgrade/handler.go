package upgrade

import (
	"bufio"
	"bytes"
	"context"
	"maps"
	"net/http"
	"time"
)

// Handler returns a handler that lets next have the upgrades that u lets in, and
// answers everything else: the door for another library's WebSocket handler.
// What is refused gets the bytes it gets from UpgradeHTTP, and the connection
// lingers.
//
// next gets the request untouched, and makes its own handshake of it; FromContext
// returns what the door has learned. What guards want in the 101 is in next's
// ResponseWriter's header. Two things are now next's to leave to the door: the
// Origin, if u permits others than the same host, and "bearer" among its
// subprotocols, for clients that bring their token that way and offer no other.
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

// judgeHTTP reads what net/http understood as a request, and answers that.
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

// turnAway delivers what is not to be upgraded: over the connection, so that it
// can linger, or where that cannot be had, as in HTTP/2, through w.
func (u *Upgrader) turnAway(w http.ResponseWriter, req *http.Request, out []byte, verdict error) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		replay(w, req, out)
		return
	}
	_ = deliver(conn, out, u.timeout(), verdict)
}

// keepHeader copies what guards want in the 101 to h, and nothing of what the
// handshake is made of.
func keepHeader(h http.Header, response []byte) {
	resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(response)), nil)
	if err == nil {
		maps.Copy(h, merge(nil, resp.Header))
	}
}

// ServeHTTP answers with e, so that a Rejection can be the http.Handler of what
// does not exist, and a handler can refuse in the door's own words. For the rest
// net/http is in charge: of the connection, and of how a refusal arrives.
func (e *Rejection) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	replay(w, req, e.AppendTo(nil, nil, time.Now()))
}

// RefuseHTTP answers with the *Rejection in err's chain, or with a bare 500 if there is
// none. It is how a handler of net/http refuses: see Rejection.ServeHTTP.
func RefuseHTTP(w http.ResponseWriter, req *http.Request, err error) {
	rej := asRejection(err)
	if rej == nil {
		rej = internal(err)
	}
	rej.ServeHTTP(w, req)
}
