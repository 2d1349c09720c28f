package upgrade

import (
	"bytes"
	"fmt"
	"strings"
)

// Validate says what of u can never work, such as a pattern of Origins that no
// origin matches: a typing error is better heard of at the start than in the
// complaints of those it keeps out. Call it once; the methods that serve do not.
func (u *Upgrader) Validate() error {
	for _, p := range u.Origins {
		if !validPattern(p) {
			return fmt.Errorf("upgrade: origin %q: want host, host:port, *.host, scheme://host[:port] or * for all", p)
		}
	}
	for _, p := range u.Subprotocols {
		if p == "" || !all(p, isToken) {
			return fmt.Errorf("upgrade: subprotocol %q: want a token, like chat.v1", p)
		}
	}
	return nil
}

// validPattern reports whether an origin exists that p matches.
func validPattern(p string) bool {
	if p == "*" {
		return true
	}
	if scheme, rest, ok := strings.Cut(p, "://"); ok {
		if scheme == "" || !all(scheme, isToken) {
			return false
		}
		p = rest
	}
	host := strings.TrimPrefix(p, "*.")
	if !validAuthority([]byte(host)) || equalFold(host, "null") {
		return false
	}
	name, port := splitPort(host)
	return !strings.HasPrefix(name, ".") && !strings.HasSuffix(name, ".") && !strings.Contains(name, "..") &&
		(len(name) == len(host) || port != "") && (name[0] != '[' || len(host) == len(p))
}

// judgeOrigin reports whether the page that sent the request may connect: no
// Origin (not a browser), the host and port the request itself asks for, or one
// of u.Origins. "null", what a sandboxed page or a file sends, is nobody's and
// therefore foreign; so are two Origin lines. vouched says that there is an
// Origin, and that it is not let in only because all are.
func (u *Upgrader) judgeOrigin(r *Request) (allowed, vouched bool) {
	k := r.known[hOrigin]
	if k.count == 0 {
		return true, false
	}
	origin := r.firstOf(hOrigin)
	scheme, rest, ok := bytes.Cut(origin, []byte("://"))
	if k.count > 1 || !ok || len(scheme) == 0 || !validAuthority(rest) {
		return false, false
	}
	host, port := r.bytes(r.host), defaultPort(scheme)
	if bytes.Equal(rest, host) || equalHost(rest, host, port) {
		return true, true
	}
	for _, p := range u.Origins {
		if originMatches(p, scheme, rest, port) {
			allowed, vouched = true, vouched || p != "*"
		}
	}
	return allowed, vouched
}

// originMatches judges one pattern of Upgrader.Origins. A pattern without a
// port means the scheme's own.
func originMatches(pattern string, scheme, hostport []byte, port string) bool {
	if pattern == "*" {
		return true
	}
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

// equalHost compares two host[:port]; a port left out is the scheme's.
func equalHost[T string | []byte](a []byte, b T, port string) bool {
	h1, p1 := splitPort(a)
	h2, p2 := splitPort(b)
	return len(h1) > 0 && equalFold(h1, h2) && equalPort(p1, p2, port)
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
