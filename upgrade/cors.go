package upgrade

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A page whose upgrade was refused learns nothing from its browser but close
// code 1006. It may then fetch the same URL: that is the probe. Here are the answers
// to the fetch, and the header lines without which the page's script could not read
// them. The handshake itself knows no CORS.

// The headers that a page may send and read in addition,
// https://fetch.spec.whatwg.org/#http-cors-protocol.
const (
	corsSent = "Authorization, Content-Type"
	corsRead = "Retry-After, WWW-Authenticate"
)

// appendCORS lets the page of r's origin read the answer, also to a request with
// cookies if the Origin vouches for them.
func appendCORS(dst []byte, r *Request) []byte {
	dst = append(dst, "Access-Control-Allow-Origin: "...)
	dst = append(dst, r.firstOf(hOrigin)...)
	if r.page.vouched {
		dst = append(dst, "\r\nAccess-Control-Allow-Credentials: true"...)
	}
	return append(dst, "\r\nAccess-Control-Expose-Headers: "+corsRead+"\r\nVary: Origin\r\n"...)
}

// appendProbe appends the answer of a probe whose upgrade would succeed.
func appendProbe(dst []byte, r *Request, now time.Time) []byte {
	dst = appendStatusLine(dst, 200, now)
	dst = append(dst, "Content-Type: application/json"+
		"\r\nContent-Length: 13"+
		"\r\nConnection: close"+
		"\r\nCache-Control: no-store\r\n"...)
	if r.mayRead() {
		dst = appendCORS(dst, r)
	}
	return append(dst, "\r\n"+`{"code":"ok"}`...)
}

// appendPreflight appends the answer to OPTIONS. A foreign origin gets the
// methods but no permission.
func appendPreflight(dst []byte, r *Request, now time.Time) []byte {
	dst = appendStatusLine(dst, 204, now)
	dst = append(dst, "Allow: GET, HEAD, OPTIONS"+
		"\r\nConnection: close"+
		"\r\nCache-Control: no-store\r\n"...)
	if r.mayRead() {
		dst = appendCORS(dst, r)
		dst = append(dst, "Access-Control-Allow-Methods: GET, HEAD, OPTIONS"+
			"\r\nAccess-Control-Allow-Headers: "+corsSent+
			"\r\nAccess-Control-Max-Age: 600\r\n"...)
	}
	return append(dst, "\r\n"...)
}

// CORS returns h for the pages of u.Origins: their browsers let them read its answers,
// errors included, and send it Authorization and Content-Type. It answers OPTIONS and
// names methods as those of h; without methods it leaves OPTIONS to h. Pages of other
// origins get the same answers, but their browsers hide them. It is for handlers beside
// the door, a log-in perhaps; the door's own answers need no CORS.
func (u *Upgrader) CORS(h http.Handler, methods ...string) http.Handler {
	allow := strings.Join(append(slices.Clone(methods), http.MethodOptions), ", ")
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r, err := u.parseHTTP(req)
		header := w.Header()
		header.Add("Vary", "Origin")
		if err == nil && r.mayRead() {
			header.Set("Access-Control-Allow-Origin", r.Origin())
			header.Set("Access-Control-Expose-Headers", corsRead)
			if r.page.vouched {
				header.Set("Access-Control-Allow-Credentials", "true")
			}
		}
		if req.Method != http.MethodOptions || len(methods) == 0 {
			h.ServeHTTP(w, req)
			return
		}
		header.Set("Allow", allow)
		header.Set("Cache-Control", "no-store")
		if err == nil && r.mayRead() {
			header.Set("Access-Control-Allow-Methods", allow)
			header.Set("Access-Control-Allow-Headers", corsSent)
			header.Set("Access-Control-Max-Age", "600")
		}
		w.WriteHeader(http.StatusNoContent)
	})
}

// JudgePage refuses with 403 a request that a page of another site makes its visitors
// send, unless that page may connect: a form, say, that logs them in as somebody else. A
// request that no browser sent passes. It is for an http.Handler that acts upon a POST
// without a token. The error is a *Rejection; u.Logger and u.Refused are told of it.
func (u *Upgrader) JudgePage(req *http.Request) error {
	r, err := u.parseHTTP(req)
	if err == nil && u.isForeign(r) {
		err = errOrigin
	}
	if err != nil {
		u.tell(r, err)
	}
	return err
}

// isForeign reports whether the request comes from a page that may not connect. If there
// is no Origin, or the page's referrer policy made it null, the browser may say whose page
// it is (https://w3c.github.io/webappsec-fetch-metadata): one of this host, or of another,
// which only "*" lets in.
func (u *Upgrader) isForeign(r *Request) bool {
	site := string(r.Header("Sec-Fetch-Site"))
	switch {
	case r.known[hOrigin].count > 0:
		return !r.page.allowed && (string(r.firstOf(hOrigin)) != "null" || site != "same-origin")
	case slices.Contains(u.Origins, "*"):
		return false
	}
	return site != "" && site != "none" && site != "same-origin"
}

// parseHTTP is Parse, and Trace, for a request that net/http has read.
func (u *Upgrader) parseHTTP(req *http.Request) (r *Request, err error) {
	r = new(Request)
	err = u.Parse(headOf(req), r)
	peer, _ := netip.ParseAddrPort(req.RemoteAddr)
	_, isUnix := req.Context().Value(http.LocalAddrContextKey).(*net.UnixAddr)
	if f, wasTraced := req.Context().Value(forwardedKey{}).(Forwarded); wasTraced {
		u.SetForwarded(r, f)
	} else if untraced := u.trace(r, peer, isUnix); err == nil {
		err = untraced
	}
	if req.TLS != nil {
		r.tls = true
		r.page = u.judgeOrigin(r)
	}
	setPathValues(r, req)
	return r, err
}

// trace is Trace, for a peer whose address may not be known any more: isUnix says that it
// cannot have one.
func (u *Upgrader) trace(r *Request, peer netip.AddrPort, isUnix bool) error {
	if peer.IsValid() || isUnix {
		return u.Trace(r, peer)
	}
	return nil
}
