package upgrade

import (
	"bytes"
	"context"
	"iter"
	"net/netip"
)

// Forwarded is what trusted proxies say of a request; see Upgrader.Trace.
type Forwarded struct {
	RemoteAddr netip.AddrPort // of the client, or of the last proxy that is trusted; without a port if a header names it
	Host       string         // that the client asked, with its port if it named one; "" if they do not say
	Proto      string         // by which it asked, http or https; "" if they do not say
}

// Trace sets r.RemoteAddr: to peer, which has sent r; or if that is one of u.TrustedProxies,
// to the client that its headers name. X-Forwarded-For and Forwarded (RFC 7239) are read from
// the right, past trusted proxies only. An entry that is no address ends the walk at the last
// of these. From then on an Origin is compared with the host and the scheme that the same proxy
// names, in Forwarded or else in X-Forwarded-Host and X-Forwarded-Proto. A peer on a unix
// socket is the zero AddrPort.
//
// Trace follows Read or Parse and precedes Respond. The error is a *Rejection: 400
// forwarded_conflict if both headers name a client, and not the same one. A proxy that writes
// one of them passes the other on, so that it can be the client's.
func (u *Upgrader) Trace(r *Request, peer netip.AddrPort) error {
	r.RemoteAddr = peer
	if u.TrustedProxies.IsZero() || !u.TrustedProxies.Has(peer.Addr()) {
		return nil
	}
	byX := u.walk(r, "X-Forwarded-For", func(entry []byte) statement { return statement{node: entry} })
	by := u.walk(r, "Forwarded", parseForwarded)
	client := byX.client
	switch {
	case !by.named:
	case !byX.named:
		client = by.client
	case client != by.client:
		return errForwarded
	}
	passed := max(byX.entries, by.entries)
	f := Forwarded{
		RemoteAddr: peer,
		Host:       hostName(either(by.last.host, r.fromSame("X-Forwarded-Host", passed))),
		Proto:      httpScheme(either(by.last.proto, r.fromSame("X-Forwarded-Proto", passed))),
	}
	if client != peer.Addr() {
		f.RemoteAddr = netip.AddrPortFrom(client, 0)
	}
	u.SetForwarded(r, f)
	return nil
}

// SetForwarded is what Trace concludes, for a request that was traced elsewhere.
func (u *Upgrader) SetForwarded(r *Request, f Forwarded) {
	r.forwarded = f
	r.RemoteAddr = f.RemoteAddr
	r.page = u.judgeOrigin(r)
}

// Forwarded returns what Trace has found, with RemoteAddr as it is.
func (r *Request) Forwarded() Forwarded {
	f := r.forwarded
	f.RemoteAddr = r.RemoteAddr
	return f
}

type forwardedKey struct{}

// ContextWithForwarded returns a context for requests of net/http that were traced before:
// an Upgrader does not trace them again.
func ContextWithForwarded(ctx context.Context, f Forwarded) context.Context {
	return context.WithValue(ctx, forwardedKey{}, f)
}

// trail is where a walk from the right has led.
type trail struct {
	client  netip.Addr
	named   bool      // the header says something of the client, be it no address
	entries int       // that were looked at
	last    statement // of these
}

// statement is an entry of a header, as it stands there; nil for what it does not say.
type statement struct{ node, host, proto []byte }

// walk follows the entries of a header past trusted proxies.
func (u *Upgrader) walk(r *Request, name string, parse func(entry []byte) statement) trail {
	t := trail{client: r.RemoteAddr.Addr()}
	for entry := range r.fromRight(name) {
		t.entries++
		t.last = parse(entry)
		t.named = t.named || t.last.node != nil
		addr, ok := parseNode(t.last.node)
		if !ok {
			break
		}
		if t.client = addr; !u.TrustedProxies.Has(addr) {
			break
		}
	}
	return t
}

// fromSame returns the entry of a header that is by the same proxy as the last of so many
// entries of another. If there are fewer, proxies have replaced what they were told.
func (r *Request) fromSame(name string, entries int) (entry []byte) {
	for entry = range r.fromRight(name) {
		if entries--; entries <= 0 {
			break
		}
	}
	return entry
}

// fromRight yields the entries of all header lines of a name, the last one first. Empty ones
// are left out (RFC 9110 §5.6.1).
func (r *Request) fromRight(name string) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for i := len(r.fields) - 1; i >= 0; i-- {
			if !equalFold(r.bytes(r.fields[i].name), name) {
				continue
			}
			for rest, entry := r.bytes(r.fields[i].value), []byte(nil); len(rest) > 0; {
				rest, entry = cutLast(rest)
				if entry = trimSpace(entry); len(entry) > 0 && !yield(entry) {
					return
				}
			}
		}
	}
}

// cutLast cuts a list at the last comma that is not within quotes, as they are seen from the
// right: what the client has sent, further left, cannot change what a proxy has added.
func cutLast(list []byte) (rest, entry []byte) {
	quoted := false
	for i := len(list) - 1; i >= 0; i-- {
		switch list[i] {
		case '"':
			before := len(bytes.TrimRight(list[:i], `\`))
			quoted = quoted != ((i-before)%2 == 0)
		case ',':
			if !quoted {
				return list[:i], list[i+1:]
			}
		}
	}
	return nil, list
}

// parseForwarded reads an element of Forwarded, RFC 7239 §4. One that is malformed, or says
// the same twice, says nothing that counts.
func parseForwarded(element []byte) (s statement) {
	for len(element) > 0 {
		var pair []byte
		pair, element = cutPair(element)
		name, value, ok := bytes.Cut(trimSpace(pair), []byte{'='})
		if len(name) == 0 && !ok {
			continue
		}
		var at *[]byte
		switch {
		case equalFold(name, "for"):
			at = &s.node
		case equalFold(name, "host"):
			at = &s.host
		case equalFold(name, "proto"):
			at = &s.proto
		default:
			at = new([]byte)
		}
		value, valid := unquote(value)
		if !ok || !valid || *at != nil {
			return statement{node: []byte{}}
		}
		*at = value
	}
	return s
}

// cutPair cuts an element at the first semicolon that is not within quotes.
func cutPair(element []byte) (pair, rest []byte) {
	quoted := false
	for i := 0; i < len(element); i++ {
		switch c := element[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case c == ';' && !quoted:
			return element[:i], element[i+1:]
		}
	}
	return element, nil
}

// unquote returns what a token or a quoted string says, RFC 9110 §5.6.4. A token may have
// bytes of an address in it, since many proxies do not quote these.
func unquote(value []byte) (b []byte, ok bool) {
	if len(value) == 0 || value[0] != '"' {
		return value, len(value) > 0 && !bytes.ContainsAny(value, "\"\\ \t")
	}
	end := len(value) - 1
	b = make([]byte, 0, len(value))
	for i := 1; i < end; i++ {
		switch {
		case value[i] == '"':
			return nil, false
		case value[i] != '\\':
		case i+1 == end:
			return nil, false
		default:
			i++
		}
		b = append(b, value[i])
	}
	return b, end > 0 && value[end] == '"'
}

// parseNode reads an address: with a port, which is dropped, in the brackets that IPv6 needs
// then, and in quotes; RFC 7239 §6. Such a port may be obfuscated. It is none if it has a
// zone or is unspecified.
func parseNode(b []byte) (addr netip.Addr, ok bool) {
	if len(b) > 1 && b[0] == '"' && b[len(b)-1] == '"' {
		b = b[1 : len(b)-1]
	}
	if len(b) == 0 || len(b) > maxNode {
		return addr, false
	}
	host, isBracketed := b, b[0] == '['
	if isBracketed || bytes.Count(b, []byte{':'}) == 1 {
		var port []byte
		host, port = splitPort(b)
		if len(host) < len(b) && !isNodePort(port) {
			return addr, false
		}
	}
	if isBracketed {
		if len(host) < 2 || host[len(host)-1] != ']' {
			return addr, false
		}
		host = host[1 : len(host)-1]
	}
	addr, err := netip.ParseAddr(string(host))
	if err != nil || isBracketed && !addr.Is6() || addr.Zone() != "" || addr.IsUnspecified() {
		return netip.Addr{}, false
	}
	return addr.Unmap(), true
}

// maxNode is longer than any address with a port.
const maxNode = 80

// isNodePort reports whether p is a node-port of RFC 7239 §6.
func isNodePort(p []byte) bool {
	if len(p) > 1 && p[0] == '_' {
		return all(p, isName) && bytes.IndexByte(p, '~') < 0
	}
	return len(p) > 0 && validPort(p)
}

// hostName returns host if it is a host with or without a port, else "".
func hostName(host []byte) string {
	if !validAuthority(host) {
		return ""
	}
	return string(host)
}

// httpScheme returns http or https for the scheme by which a client has asked, "" if it is
// another.
func httpScheme(scheme []byte) string {
	switch {
	case isTLS(scheme):
		return "https"
	case isHTTP(scheme):
		return "http"
	}
	return ""
}

// either returns a if it is there, else b.
func either(a, b []byte) []byte {
	if a != nil {
		return a
	}
	return b
}
