package upgrade

import (
	"bytes"
	"crypto/tls"
	"iter"
	"net/netip"
	"slices"
	"time"

	"github.com/usher-ws/usher/internal/text"
)

// Request is a client's head, parsed. It copies nothing: it keeps the head and
// the places of things in it. So the Request, and every []byte that it returns, is valid
// until the head's buffer is reused. Clone makes a Request that stays.
//
// The zero Request is ready for Parse, and may be parsed into again and again;
// it then allocates nothing. A Request belongs to one goroutine at a time.
type Request struct {
	// RemoteAddr is the client's address. Parse clears it; the code that accepted the
	// connection sets it afterwards, by Upgrader.Trace if there may be proxies. Upgrade,
	// UpgradeHTTP and Handler do. The port is 0 if a proxy has not named it.
	RemoteAddr netip.AddrPort

	// TLS is the state of the connection if the request came over TLS that ends here, with the
	// client's certificates if it has sent any; nil otherwise. Parse clears it; Upgrader.SetTLS
	// sets it, as RemoteAddr is set. It is read only.
	TLS *tls.ConnectionState

	// Identity is the user that Bearer recognised; nil before that.
	Identity *Identity

	// The head, and where things are in it.
	head                              []byte
	method, target, path, query, host span
	fields                            []field
	known                             [numKnown]known
	minor                             byte // of HTTP/1.x
	absolute                          bool // the target was a whole URL

	// What was concluded.
	forwarded   Forwarded // by Trace; its RemoteAddr is not kept up
	upgrade     bool      // Upgrade names websocket
	page        standing  // of its Origin
	deflate     deflate
	subprotocol string
	values      []pathValue
	decoded     string // the path, once asked for
	now         time.Time

	// What Bearer has found.
	fromCookie bool     // the last source that was asked is a cookie
	tokens     [][]byte // memory for findToken
	begun      []begun  // by Upgrader.IsSlow
}

// span is a place in the head.
type span struct{ from, to uint32 }

type field struct{ name, value span }

type pathValue struct{ name, value string }

// known says where the first header line of a name is, and how many there are.
type known struct{ first, count uint32 }

// The names the gate looks for.
const (
	hHost = iota
	hOrigin
	hAccept
	hUpgrade
	hConnection
	hContentLength
	hTransferEncoding
	hTrailer
	hKey
	hVersion
	hProtocol
	hExtensions
	numKnown
)

// Method returns the request's method as it was sent.
func (r *Request) Method() string {
	m := r.bytes(r.method)
	switch string(m) {
	case "GET":
		return "GET"
	case "HEAD":
		return "HEAD"
	case "OPTIONS":
		return "OPTIONS"
	case "POST":
		return "POST"
	}
	return string(m)
}

// Path returns the path of the target with its escapes decoded.
func (r *Request) Path() string {
	if r.decoded == "" {
		r.decoded = string(unescape(r.RawPath()))
	}
	return r.decoded
}

// RawPath returns the path as it was sent, in which %2F is not a slash.
func (r *Request) RawPath() []byte {
	if r.absolute && r.path.from == r.path.to {
		return []byte{'/'} // RFC 9110 §4.2.3: http://host is http://host/
	}
	return r.bytes(r.path)
}

// RawQuery returns what follows the target's question mark.
func (r *Request) RawQuery() []byte { return r.bytes(r.query) }

// Host returns the host the client asked for, with its port if it named one.
func (r *Request) Host() string { return string(r.bytes(r.host)) }

// Scheme returns by what the client has asked, http or https: as a trusted proxy says, or by
// whether TLS ends here.
func (r *Request) Scheme() string {
	switch {
	case r.forwarded.Proto != "":
		return r.forwarded.Proto
	case r.TLS != nil:
		return "https"
	}
	return "http"
}

// Origin returns the Origin header, "" if there is none.
func (r *Request) Origin() string { return string(r.firstOf(hOrigin)) }

// Subprotocol returns the protocol the 101 names, "" for none. It is known
// when guards run.
func (r *Request) Subprotocol() string { return r.subprotocol }

// Deflate returns the bits of the window in which messages to the client may be
// compressed, 8 to 15, if the 101 agrees to permessage-deflate; 0 if it does not. There is
// no context takeover in either direction. frame.NewState takes the bits as a
// frame.Window. They are known when guards run.
func (r *Request) Deflate() int { return r.deflate.window() }

// Header returns the value of the first header line called name, whatever the
// case of either; nil if there is none.
func (r *Request) Header(name string) []byte {
	for _, f := range r.fields {
		if equalFold(r.bytes(f.name), name) {
			return r.bytes(f.value)
		}
	}
	return nil
}

// Values yields the value of every header line called name, in their order.
func (r *Request) Values(name string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for _, f := range r.fields {
			if equalFold(r.bytes(f.name), name) && !yield(r.bytes(f.value)) {
				return
			}
		}
	}
}

// PathValue returns what the route's wildcard called name matched.
func (r *Request) PathValue(name string) string {
	for i := range r.values {
		if r.values[i].name == name {
			return r.values[i].value
		}
	}
	return ""
}

// SetPathValue sets what PathValue returns for name. It is for routers, between
// Parse and Respond.
func (r *Request) SetPathValue(name, value string) {
	for i := range r.values {
		if r.values[i].name == name {
			r.values[i].value = value
			return
		}
	}
	r.values = append(r.values, pathValue{name, value})
}

// IsUpgrade reports whether the Upgrade header names websocket: whether the client
// wants a WebSocket, which does not mean that it may have one.
func (r *Request) IsUpgrade() bool { return r.upgrade }

// IsProbe reports whether the request only asks what an upgrade would be told:
// a GET without an upgrade to websocket that accepts application/problem+json. Guards
// judge it as they would judge the upgrade, but spend nothing on it. An upgrade to another
// protocol does not matter: Java's client offers h2c with every request.
func (r *Request) IsProbe() bool {
	if r.upgrade || string(r.bytes(r.method)) != "GET" {
		return false
	}
	for value := range r.all(hAccept) {
		for part := range text.Elements(value) {
			media, _, _ := bytes.Cut(part, []byte{';'})
			if equalFold(trimSpace(media), problemJSON) {
				return true
			}
		}
	}
	return false
}

// MayUseCookies reports whether the cookies of the request can be those of the user that
// wants to come in: a browser sends them whatever page connects. It may not be a page of an
// Origin that only "*" lets in, nor the other pages that [Bearer] tells of; without an Origin it
// is no page. It is known when guards run, and for Authorize.
func (r *Request) MayUseCookies() bool { return r.known[hOrigin].count == 0 || r.page.vouched }

// BodyLength returns how many bytes of body follow the head; -1 if only the body's own end
// tells, because it is chunked.
func (r *Request) BodyLength() int64 {
	if r.known[hTransferEncoding].count > 0 {
		return -1
	}
	n, _ := parseLength(r.firstOf(hContentLength)) // Parse has refused what is no number
	return n
}

// Now returns the time of the verdict, the same for every guard. It is known when
// guards run.
func (r *Request) Now() time.Time { return r.now }

// Clone returns a copy that owns its memory and may outlive the head.
func (r *Request) Clone() *Request {
	c := *r
	c.head = bytes.Clone(r.head)
	c.fields = slices.Clone(r.fields)
	c.values = slices.Clone(r.values)
	c.tokens = nil
	c.begun = slices.Clone(r.begun)
	return &c
}

// mayRead reports whether the page of another origin may read the answer. The
// handshake itself knows no CORS.
func (r *Request) mayRead() bool { return r.page.shown && !r.upgrade }

// reset forgets everything and keeps memory for reuse.
func (r *Request) reset(head []byte) {
	clear(r.begun)
	*r = Request{head: head, fields: r.fields[:0], values: r.values[:0], tokens: r.tokens[:0], begun: r.begun[:0]}
}

func (r *Request) bytes(s span) []byte { return r.head[s.from:s.to:s.to] }

// firstOf returns the value of the first header line of a known name, or nil.
func (r *Request) firstOf(name int) []byte {
	k := r.known[name]
	if k.count == 0 {
		return nil
	}
	return r.bytes(r.fields[k.first].value)
}

// all yields the value of every header line of a known name.
func (r *Request) all(name int) func(yield func(value []byte) bool) {
	return func(yield func([]byte) bool) {
		k := r.known[name]
		for i := int(k.first); k.count > 0; i++ {
			f := r.fields[i]
			if knownName(r.bytes(f.name)) != name {
				continue
			}
			if !yield(r.bytes(f.value)) {
				return
			}
			k.count--
		}
	}
}

// knownName returns the number of a header's name, or -1. Nearly all names differ in
// their length, and most clients write them as the standards do.
func knownName(name []byte) int {
	n, s := -1, ""
	switch len(name) {
	case 4:
		n, s = hHost, "Host"
	case 6:
		if n, s = hOrigin, "Origin"; name[0]|0x20 == 'a' {
			n, s = hAccept, "Accept"
		}
	case 7:
		if n, s = hUpgrade, "Upgrade"; name[0]|0x20 == 't' {
			n, s = hTrailer, "Trailer"
		}
	case 10:
		n, s = hConnection, "Connection"
	case 14:
		n, s = hContentLength, "Content-Length"
	case 17:
		if n, s = hKey, "Sec-WebSocket-Key"; name[0]|0x20 == 't' {
			n, s = hTransferEncoding, "Transfer-Encoding"
		}
	case 21:
		n, s = hVersion, "Sec-WebSocket-Version"
	case 22:
		n, s = hProtocol, "Sec-WebSocket-Protocol"
	case 24:
		n, s = hExtensions, "Sec-WebSocket-Extensions"
	}
	if n < 0 || string(name) != s && !equalFold(name, s) {
		return -1
	}
	return n
}
