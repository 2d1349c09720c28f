package upgrade

import (
	"bytes"
	"cmp"
	"net/netip"
)

// Read finds the end of the head that b begins with, parses the head into r as soon as
// it is complete, and returns its length: the request line, the header lines and the
// empty line. 0 and no error mean that more bytes are needed, and that the next call may
// pass the present len(b) as from; bytes before from are not looked at again. Bytes behind
// the head are the connection's first input and are not looked at.
//
// The error of a complete head is Parse's. Of an incomplete one it says that no further
// bytes can make it good, so that garbage is answered at once: a *Rejection, 414 or 431
// when a cap is passed, 400 at the first byte that cannot be HTTP. What the client is told
// does not depend on how the bytes were split.
//
// r borrows b until its buffer is reused; see Parse. After an error with length
// 0 there is nothing in r. Read keeps no state and may be called from any goroutine.
func (u *Upgrader) Read(b []byte, from int, r *Request) (n int, err error) {
	if from <= 0 {
		n, err := u.parse(b[:min(len(b), u.headerBytes())], r)
		if n > 0 {
			return n, err
		}
	}
	n, err = u.findEnd(b, from)
	if n == 0 {
		r.reset(nil)
		return 0, err
	}
	return n, u.Parse(b[:n], r)
}

// Parse reads a complete head into r. It refuses what HTTP or RFC 6455 leave no room
// for, and what two parsers could read in two ways: row 1 of docs/CODES.md. The error is
// a *Rejection: 400, 414, 431 or 505.
//
// 505 answers a well-formed version other than HTTP/1.0 and HTTP/1.1, and an upgrade in
// HTTP/1.0; a malformed version is 400. A request that is no upgrade also passes in
// HTTP/1.0 and with a body: it may be meant for an http.Handler.
//
// r borrows head until its buffer is reused. After an error r still has as much as was
// understood.
func (u *Upgrader) Parse(head []byte, r *Request) error {
	n, err := u.parse(head[:min(len(head), u.headerBytes())], r)
	if n == 0 || n != len(head) {
		return u.misfit(head, r, err)
	}
	return err
}

// parse reads the head that b begins with, and returns its length; 0 if there is no
// whole head, or its lines cannot be cut. misfit says what is wrong then.
func (u *Upgrader) parse(b []byte, r *Request) (n int, err error) {
	r.reset(b)
	line, err := scanRequestLine(b, 0)
	if line == 0 {
		return 0, err
	}
	target := r.parseRequestLine()
	n, err = r.parseFields(line, u.headerLines())
	if n == 0 {
		return 0, cmp.Or(target, err)
	}
	r.head = b[:n:n]
	if target != nil {
		return n, target
	}
	r.upgrade = r.names(hUpgrade, "websocket")
	if err := r.checkFields(); err != nil {
		return n, err
	}
	major := b[line-len("1.1\r\n")]
	r.minor = b[line-len("1\r\n")] - '0'
	if major != '1' || r.minor > 1 || r.minor == 0 && r.upgrade {
		return n, errVersion
	}
	if r.minor == 1 && r.known[hHost].count == 0 {
		return n, errHost // RFC 9112 §3.2
	}
	r.page = u.judgeOrigin(r)
	return n, nil
}

// misfit returns what is wrong with bytes that are not one whole head, or whose lines
// cannot be cut: what findEnd would have said if they had come one by one, or else err.
// If findEnd refuses them, nothing is understood of the request.
func (u *Upgrader) misfit(head []byte, r *Request, err error) error {
	n, refused := u.scanHead(head[:min(len(head), u.headerBytes())], 0)
	switch {
	case refused != nil:
		r.reset(nil)
		return refused
	case err == nil || n != len(head):
		return errHead
	}
	return err
}

// parseRequestLine cuts the request line, whose shape has been checked.
func (r *Request) parseRequestLine() error {
	m := bytes.IndexByte(r.head, ' ')
	t := m + 1 + bytes.IndexByte(r.head[m+1:], ' ')
	r.method = makeSpan(0, m)
	r.target = makeSpan(m+1, t)
	r.path = r.target
	target := r.bytes(r.target)
	if q := bytes.IndexByte(target, '?'); q >= 0 {
		r.path.to = r.path.from + uint32(q)
		r.query = span{r.path.to + 1, r.target.to}
	}
	switch {
	case bytes.IndexByte(target, '#') >= 0:
		return errTarget // a fragment never leaves the client, RFC 9110 §7.1
	case target[0] == '/':
	case string(target) == "*" && (r.Method() == "OPTIONS" || r.Method() == "PRI"):
		// RFC 9112 §3.2.4; PRI begins HTTP/2 and falls to its version.
	default:
		if !r.parseAbsolute() {
			return errTarget
		}
	}
	if !escaped(r.bytes(r.path)) {
		return errTarget
	}
	return nil
}

// parseAbsolute takes the scheme and the host off a target that is a URL. A server
// must accept such a target, and believe it rather than the Host header: RFC 9112
// §3.2.2.
func (r *Request) parseAbsolute() bool {
	target := r.bytes(r.path)
	scheme, rest, ok := bytes.Cut(target, []byte("://"))
	if !ok || !isHTTP(scheme) {
		return false
	}
	end := bytes.IndexByte(rest, '/')
	if end < 0 {
		end = len(rest)
	}
	if !validAuthority(rest[:end]) {
		return false
	}
	from := r.path.from + uint32(len(scheme)+len("://"))
	r.host = span{from, from + uint32(end)}
	r.path.from = r.host.to
	r.absolute = true
	return true
}

func isHTTP(scheme []byte) bool {
	return equalFold(scheme, "http") || equalFold(scheme, "https") ||
		equalFold(scheme, "ws") || equalFold(scheme, "wss")
}

// validAuthority reports whether b is a host or host:port, without a user.
func validAuthority(b []byte) bool {
	host, port := splitPort(b)
	if len(host) > 2 && host[0] == '[' {
		addr, err := netip.ParseAddr(string(host[1 : len(host)-1]))
		return err == nil && addr.Is6() && addr.Zone() == "" && host[len(host)-1] == ']' && validPort(port)
	}
	return len(host) > 0 && all(host, isName) && validPort(port)
}

func validPort(p []byte) bool {
	for _, c := range p {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(p) <= 5
}

// splitPort cuts host:port at the colon behind the host, if there is one.
func splitPort[T string | []byte](s T) (host, port T) {
	for i := len(s) - 1; i >= 0 && s[i] != ']'; i-- {
		if s[i] == ':' {
			return s[:i], s[i+1:]
		}
	}
	return s, s[len(s):]
}
