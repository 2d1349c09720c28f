package upgrade

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A page whose upgrade was refused learns nothing from its browser but close
// code 1006. It may then fetch the same URL: the probe. These are the answers
// to that fetch, and the header lines without which its script could not read
// them. The handshake itself knows no CORS.

// What else a page may send and read, https://fetch.spec.whatwg.org/#http-cors-protocol.
const (
	corsSent = "Authorization, Content-Type"
	corsRead = "Retry-After, WWW-Authenticate"
)

// appendCORS lets the page of r's origin read the answer, and what its cookies
// bring about if the Origin vouches for them.
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

// CORS returns h for the pages of u.Origins, whose browsers then let them read its
// answers, errors included, and send it Authorization and Content-Type. It answers
// OPTIONS, with methods as those that h takes; given none, it leaves that to h. Pages
// of other origins get the same answers, which their browsers hide from them. It is for
// what net/http serves beside the door, a log-in perhaps; the door's own answers have it.
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

// JudgePage refuses with 403 what a page of another site has its visitors send,
// unless that page may connect: a form that logs them in as somebody else, say. What
// no browser sent passes. It is for an http.Handler that acts upon a POST without a
// token. The error is a *Rejection, and u.Logger and u.Refused are told of it.
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

// isForeign reports whether a page sent the request that may not connect. Where the
// Origin does not tell, because there is none or because the page's policy of referrers
// made it null, the browser may say whose page it is
// (https://w3c.github.io/webappsec-fetch-metadata): this host's own, or another, which
// only "*" lets in.
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

// parseHTTP is Parse for what net/http has read.
func (u *Upgrader) parseHTTP(req *http.Request) (r *Request, err error) {
	r = new(Request)
	err = u.Parse(headOf(req), r)
	r.RemoteAddr, _ = netip.ParseAddrPort(req.RemoteAddr)
	if req.TLS != nil {
		r.tls = true
		r.page = u.judgeOrigin(r)
	}
	setPathValues(r, req)
	return r, err
}
