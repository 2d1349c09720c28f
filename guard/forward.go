//go:build linux

package guard

import (
	"bytes"
	"cmp"
	"encoding/json"
	"iter"
	"strings"

	"github.com/usher-ws/usher/internal/text"
	"github.com/usher-ws/usher/upgrade"
)

// Forward says what an application is told of a request that a guard has let in. The zero
// Forward hides no parameter and no cookie, and tells of no claim. It is read only once in
// use; any number of goroutines may use it.
type Forward struct {
	// Token has everything go on in which the client has sent its token. Otherwise it is taken
	// out: Authorization with the scheme Bearer, the subprotocol "bearer" with the one behind
	// it, and the query's Params and the Cookies of these names.
	Token   bool
	Params  []string
	Cookies []string

	// Claims are the names of those claims of the token of which an application is told, each
	// in a header X-Usher-Claim- and its name, with hyphens for underscores. They must be fit
	// for that: letters, digits, hyphens and underscores.
	Claims []string
}

// AppendRequest appends the head of the request that an application gets for r, which was let
// in: an upgrade with the client's own key, or for a probe the GET that it is. What follows from the judgement of r is written
// anew, so that the application reads nothing that was not judged, and nothing in another way:
//
//   - the target: path, or the one of r if that is empty, and what is left of the query, both
//     with escapes for bytes that a URL may not have as they are
//   - X-Forwarded-For, -Host and -Proto, the client as Trace has found it; X-Request-Id, id
//   - X-Usher-Subject and X-Usher-Claim-…: of r.Identity, escaped as in a URL's path: url.PathUnescape reads them
//   - the offers of permessage-deflate, but of no other extension: nobody could judge its frames
//
// Headers for one hop, those that name another path or method, and all that a client sends
// under names that are written here are left out, with underscores for hyphens, too. All other
// headers go on as they are. It does not block, and keeps nothing.
func (f *Forward) AppendRequest(dst []byte, r *upgrade.Request, path, id string) []byte {
	dst = append(dst, "GET "...)
	if path != "" {
		dst = appendTarget(dst, []byte(path))
	} else {
		dst = appendTarget(dst, r.RawPath())
	}
	dst = f.appendQuery(dst, r.RawQuery())
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, r.Host()...)
	if r.IsProbe() {
		dst = append(dst, "\r\nConnection: close\r\n"...)
	} else {
		dst = append(dst, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"...)
		dst = appendLine(dst, "Sec-WebSocket-Key", r.Header("Sec-WebSocket-Key"))
		dst = f.appendSubprotocols(dst, r)
		dst = appendOffers(dst, r)
	}
	for name, value := range r.Fields() {
		if isWritten(name) || isNamed(r, name) {
			continue
		}
		dst = f.appendField(dst, name, value)
	}
	for name, value := range f.facts(r, id) {
		dst = appendLine(dst, name, value)
	}
	return append(dst, "\r\n"...)
}

// facts yields the headers that say what was found out about the client.
func (f *Forward) facts(r *upgrade.Request, id string) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		if addr := r.RemoteAddr.Addr(); addr.IsValid() && !yield("X-Forwarded-For", addr.Unmap().String()) {
			return
		}
		ok := yield("X-Forwarded-Host", cmp.Or(r.Forwarded().Host, r.Host())) && yield("X-Forwarded-Proto", r.Scheme()) && yield("X-Request-Id", id)
		if r.Identity == nil || !ok || !yield("X-Usher-Subject", string(appendEscaped(nil, r.Identity.Subject))) {
			return
		}
		for _, name := range f.Claims {
			value, ok := r.Identity.Claims[name]
			if ok && !yield("X-Usher-Claim-"+strings.ReplaceAll(name, "_", "-"), string(appendEscaped(nil, claimText(value)))) {
				return
			}
		}
	}
}

// claimText is a claim as an application reads it: a string as it is, anything else as JSON.
func claimText(value any) string {
	if s, ok := value.(string); ok {
		return s
	}
	b, err := json.Marshal(value)
	if err != nil {
		return "" // of what encoding/json has read, it can write everything
	}
	return string(b)
}

// appendField appends a header line of the client's without its token.
func (f *Forward) appendField(dst, name, value []byte) []byte {
	switch {
	case f.Token:
	case bytes.EqualFold(name, []byte("Authorization")):
		if scheme, _, _ := bytes.Cut(value, []byte(" ")); bytes.EqualFold(scheme, []byte("Bearer")) {
			return dst
		}
	case bytes.EqualFold(name, []byte("Cookie")):
		start := len(dst)
		dst = append(append(dst, name...), ": "...)
		from := len(dst)
		if dst = f.appendCookies(dst, value); len(dst) == from {
			return dst[:start]
		}
		return append(dst, "\r\n"...)
	}
	return appendLine(dst, string(name), value)
}

// appendCookies appends those cookies of a line that carry no token.
func (f *Forward) appendCookies(dst, line []byte) []byte {
	from := len(dst)
	for pair := range bytes.SplitSeq(line, []byte(";")) {
		pair = bytes.Trim(pair, " \t")
		name, _, _ := bytes.Cut(pair, []byte("="))
		if len(pair) == 0 || has(f.Cookies, string(bytes.Trim(name, " \t"))) {
			continue
		}
		if len(dst) > from {
			dst = append(dst, "; "...)
		}
		dst = append(dst, pair...)
	}
	return dst
}

// appendQuery appends a query without the parameters that carry a token, whatever escapes
// their names have. A semicolon separates, too: for some applications it does.
func (f *Forward) appendQuery(dst, query []byte) []byte {
	if len(query) == 0 {
		return dst
	}
	sign := byte('?')
	for rest := query; len(rest) > 0; {
		n := bytes.IndexAny(rest, "&;")
		pair, next := rest, byte(0)
		if rest = nil; n >= 0 {
			pair, next, rest = pair[:n], pair[n], pair[n+1:]
		}
		name, _, _ := bytes.Cut(pair, []byte("="))
		if !f.Token && has(f.Params, unescape(name)) {
			continue
		}
		dst = appendTarget(append(dst, sign), pair)
		sign = next
	}
	return dst
}

// appendSubprotocols appends the offers of subprotocols.
func (f *Forward) appendSubprotocols(dst []byte, r *upgrade.Request) []byte {
	const name = "Sec-WebSocket-Protocol"
	if f.Token {
		for value := range r.Values(name) {
			dst = appendLine(dst, name, value)
		}
		return dst
	}
	before := name + ": "
	for p := range r.Subprotocols() {
		dst = append(append(dst, before...), p...)
		before = ", "
	}
	if before == ", " {
		dst = append(dst, "\r\n"...)
	}
	return dst
}

// appendOffers appends the offers of permessage-deflate.
func appendOffers(dst []byte, r *upgrade.Request) []byte {
	before := "Sec-WebSocket-Extensions: "
	for line := range r.Values("Sec-WebSocket-Extensions") {
		if bytes.ContainsAny(line, "\\()") || bytes.Count(line, []byte(`"`))%2 != 0 {
			continue // no offer of this extension needs them, and no list has half of a string
		}
		for offer := range elements(line) {
			name, _, _ := bytes.Cut(offer, []byte(";"))
			if !bytes.EqualFold(bytes.TrimRight(name, " \t"), []byte("permessage-deflate")) {
				continue
			}
			dst = append(append(dst, before...), offer...)
			before = ", "
		}
	}
	if before == ", " {
		dst = append(dst, "\r\n"...)
	}
	return dst
}

// isNamed reports whether the client's Connection header says that this header is for one hop
// (RFC 9110 §7.6.1).
func isNamed(r *upgrade.Request, name []byte) bool {
	for list := range r.Values("Connection") {
		for option := range text.Elements(list) {
			if bytes.EqualFold(option, name) {
				return true
			}
		}
	}
	return false
}

// written are the headers that are written here, or by nobody, in lower case and with hyphens.
var written = map[string]bool{
	"host": true, "upgrade": true, "connection": true, "forwarded": true, "x-request-id": true, "x-real-ip": true,
	// For one hop (RFC 9110 §7.6.1), or for a body.
	"keep-alive": true, "proxy-connection": true, "proxy-authenticate": true, "proxy-authorization": true, "te": true,
	"trailer": true, "transfer-encoding": true, "content-length": true, "expect": true, "http2-settings": true,
	// For some frameworks they are the path or the method, which were not judged.
	"x-original-url": true, "x-rewrite-url": true, "x-http-method": true, "x-http-method-override": true, "x-method-override": true,
}

// isMethod reports whether some frameworks read the method in this header.
func isMethod(name []byte) bool {
	for _, of := range []string{"X-HTTP-Method", "X-HTTP-Method-Override", "X-Method-Override"} {
		if bytes.EqualFold(bytes.ReplaceAll(name, []byte("_"), []byte("-")), []byte(of)) {
			return true
		}
	}
	return false
}

// isWritten reports whether a header of the client's is left out for its name. Applications
// that read headers as variables of a process take an underscore for a hyphen.
func isWritten(name []byte) bool {
	var room [32]byte
	lower := room[:0]
	for _, c := range name {
		switch {
		case c >= 'A' && c <= 'Z':
			c |= 0x20
		case c == '_':
			c = '-'
		}
		lower = append(lower, c)
	}
	for _, prefix := range []string{"x-forwarded-", "x-usher-", "sec-websocket-"} {
		if strings.HasPrefix(string(lower), prefix) {
			return true
		}
	}
	return written[string(lower)]
}
