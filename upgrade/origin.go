package upgrade

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Validate returns what in u can never work, such as a pattern in Origins that no origin
// matches: it is better to learn of a typing error at the start than from the people it
// keeps out. Call it once; the methods that serve do not call it.
func (u *Upgrader) Validate() error {
	for _, p := range u.Origins {
		if !validPattern(p) {
			return fmt.Errorf("upgrade: origin %q: want host, host:port, *.host, scheme://host[:port], null, file:// or * for all; "+
				"other letters than those of ASCII as xn--…", p)
		}
	}
	for _, p := range u.Subprotocols {
		if p == "" || !all(p, isToken) {
			return fmt.Errorf("upgrade: subprotocol %q: want a token, like chat.v1", p)
		}
	}
	if u.MaxHeaderBytes > MaxHeaderLimit {
		return fmt.Errorf("upgrade: a head of %d bytes: want %d at most", u.MaxHeaderBytes, MaxHeaderLimit)
	}
	return nil
}

// validPattern reports whether there can be an origin that p matches.
func validPattern(p string) bool {
	if p == "*" || p == "null" {
		return true
	}
	scheme, rest, ok := strings.Cut(p, "://")
	switch {
	case !ok:
		rest = p
	case !validScheme(scheme):
		return false
	case !isHTTP([]byte(scheme)) && (rest == "" || validAuthority([]byte(rest))):
		return true // file://, chrome-extension://id, app://. : such schemes make their own rules
	}
	host := strings.TrimPrefix(rest, "*.")
	if !validAuthority([]byte(host)) || equalFold(host, "null") {
		return false
	}
	name, port := splitPort(host)
	return !strings.HasPrefix(name, ".") && !strings.HasSuffix(name, ".") && !strings.Contains(name, "..") &&
		(len(name) == len(host) || port != "") && (name[0] != '[' || len(host) == len(rest))
}

// validScheme reports whether s is a scheme, RFC 3986 §3.1.
func validScheme[T string | []byte](s T) bool {
	if len(s) == 0 || s[0]|0x20 < 'a' || s[0]|0x20 > 'z' {
		return false
	}
	for i := 1; i < len(s); i++ {
		if c := s[i]; (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '+' && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// standing is what a request is allowed for its Origin.
type standing struct {
	allowed bool // to connect
	vouched bool // to be let in by a cookie, which browsers send for any page
	shown   bool // to read answers: there is an Origin, and it may be written into them
}

// judgeOrigin says what the page that sent the request may do.
//
// It may connect if there is no Origin (it is no browser), if the Origin is the host and
// port that the request itself asks for, or if u.Origins lists it. Where trusted proxies say
// which host and scheme the client has asked for, these count instead. "*" lets in every
// Origin. "null", which sandboxed pages send, and "file://" belong to nobody, and are let
// in only if they are listed. Two Origin lines are no origin, and neither is a URL.
//
// Only scheme://host[:port] vouches for a cookie: anybody can make a page whose origin is
// null. It has to be the same host or listed, for which "*" does not count, and the scheme
// matters; see safeScheme.
func (u *Upgrader) judgeOrigin(r *Request) (page standing) {
	k := r.known[hOrigin]
	if k.count == 0 {
		page.allowed = true
		return page
	}
	origin := r.firstOf(hOrigin)
	scheme, hostport, full := cutOrigin(origin)
	full = full && k.count == 1
	port := ""
	if full {
		port = defaultPort(scheme)
		if r.isSameHost(scheme, hostport, port) {
			page.allowed, page.vouched = true, r.safeScheme(scheme)
		}
	}
	named := false
	for _, p := range u.Origins {
		switch {
		case p == "*":
			page.allowed = true
		case p == "null" || strings.HasSuffix(p, "://"):
			if k.count == 1 && (string(origin) == p || p != "null" && equalFold(origin, p)) {
				page.allowed, named = true, true
			}
		case full && originMatches(p, scheme, hostport, port):
			page.allowed = true
			page.vouched = page.vouched || strings.Contains(p, "://") || r.safeScheme(scheme)
		}
	}
	page.shown = page.allowed && (full || named && string(origin) == "null")
	return page
}

// isSameHost reports whether an origin is what the request itself asks for.
func (r *Request) isSameHost(scheme, hostport []byte, port string) bool {
	f := &r.forwarded
	if f.Proto != "" && !equalFold(scheme, f.Proto) {
		return false
	}
	if f.Host != "" {
		return equalHost(hostport, f.Host, port)
	}
	host := r.bytes(r.host)
	return bytes.Equal(hostport, host) || equalHost(hostport, host, port)
}

// cutOrigin cuts an origin as browsers write it, RFC 6454 §6.2. full reports whether it is
// exactly a scheme, a host and perhaps a port.
func cutOrigin(origin []byte) (scheme, hostport []byte, full bool) {
	scheme, hostport, full = bytes.Cut(origin, []byte("://"))
	if !full || !validScheme(scheme) || !validAuthority(hostport) {
		return nil, nil, false
	}
	if host, port := splitPort(hostport); len(host) < len(hostport) {
		n, err := strconv.ParseUint(string(port), 10, 16)
		full = err == nil && n > 0 && port[0] != '0'
	}
	return scheme, hostport, full
}

// safeScheme reports whether a page of this scheme may use a cookie of this host. TLS
// mostly ends in a proxy, so a page of https: may, even if the request came in the clear.
// A page of http: may not if the request came over TLS: anybody between the page's server
// and its visitor could have written it. If TLS does not end here, only the proxy can tell
// us: by X-Forwarded-Proto, Forwarded (RFC 7239) or a URL for a target. No page can make
// its browser send these with a handshake.
func (r *Request) safeScheme(scheme []byte) bool {
	return equalFold(scheme, "https") || equalFold(scheme, "http") && !r.overTLS()
}

// overTLS reports whether the request came over TLS, or says that it did, at least to
// the first proxy: further ones are named behind that.
func (r *Request) overTLS() bool {
	if proto := r.forwarded.Proto; proto != "" {
		return proto == "https"
	}
	if scheme, _, _ := bytes.Cut(r.bytes(r.target), []byte{':'}); r.tls || r.absolute && isTLS(scheme) {
		return true
	}
	if proto, _, _ := bytes.Cut(r.Header("X-Forwarded-Proto"), []byte{','}); isTLS(trimSpace(proto)) {
		return true
	}
	first, _, _ := bytes.Cut(r.Header("Forwarded"), []byte{','})
	for pair := range bytes.SplitSeq(first, []byte{';'}) {
		name, proto, _ := bytes.Cut(pair, []byte{'='})
		if equalFold(trimSpace(name), "proto") && isTLS(bytes.Trim(proto, " \t\"")) {
			return true
		}
	}
	return false
}

func isTLS(scheme []byte) bool { return equalFold(scheme, "https") || equalFold(scheme, "wss") }

// originMatches judges one pattern of Upgrader.Origins that has a host. A pattern
// without a port means the scheme's own.
func originMatches(pattern string, scheme, hostport []byte, port string) bool {
	if s, rest, ok := strings.Cut(pattern, "://"); ok {
		if !equalFold(scheme, s) {
			return false
		}
		pattern = rest
	}
	if !strings.HasPrefix(pattern, "*.") {
		return equalHost(hostport, pattern, port)
	}
	suffix, p1 := splitPort(pattern[1:])
	host, p2 := splitPort(hostport)
	cut := len(host) - len(suffix)
	return cut > 0 && equalFold(host[cut:], suffix) && equalPort(p2, p1, port)
}

// equalHost compares two host[:port]; port is the scheme's, for one that is left out.
func equalHost[T string | []byte](a []byte, b T, port string) bool {
	h1, p1 := splitPort(a)
	h2, p2 := splitPort(b)
	if len(h1) == 0 || !equalPort(p1, p2, port) {
		return false
	}
	if equalFold(h1, h2) {
		return true
	}
	return h1[0] == '[' && len(h2) > 0 && h2[0] == '[' && equalIPv6(string(h1), string(h2))
}

// equalIPv6 compares two addresses in brackets, which can be written in many ways.
func equalIPv6(a, b string) bool {
	x, err1 := netip.ParseAddr(strings.Trim(a, "[]"))
	y, err2 := netip.ParseAddr(strings.Trim(b, "[]"))
	return err1 == nil && err2 == nil && x == y
}

func equalPort[T string | []byte](a []byte, b T, port string) bool {
	if len(a) == 0 {
		return len(b) == 0 || equalFold(b, port)
	}
	if len(b) == 0 {
		return equalFold(a, port)
	}
	return equalFold(a, b)
}

func defaultPort(scheme []byte) string {
	switch {
	case equalFold(scheme, "http"):
		return "80"
	case equalFold(scheme, "https"):
		return "443"
	}
	return ""
}
