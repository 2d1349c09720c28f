//go:build linux

package load

import (
	"crypto/sha1"
	"encoding/base64"
	"strconv"
)

// Request is what a connection asks for, beside its target. The zero Request is
// a bare upgrade.
type Request struct {
	Header       [][2]string // name and value, as they go out
	Origin       string      // no header if empty
	Subprotocols string      // comma separated; no header if empty

	// Token returns the bearer token of connection i, "" for none; nil: nobody has
	// one.
	Token func(i int) string

	// Padding is the length of a header that means nothing: a head that is still
	// being sent when the answer is written.
	Padding int

	// First, if not 0, is how many bytes of the request are sent; the rest is the
	// player's business.
	First int
}

// Append appends the request of connection i to dst (RFC 6455 §4.1).
func (r *Request) Append(dst []byte, t *Target, i int, nonce [16]byte) []byte {
	start := len(dst)
	dst = append(dst, "GET "...)
	dst = append(dst, t.Path...)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, t.Host...)
	dst = append(dst, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "...)
	dst = base64.StdEncoding.AppendEncode(dst, nonce[:])
	dst = append(dst, "\r\n"...)
	if r.Origin != "" {
		dst = appendHeader(dst, "Origin", r.Origin)
	}
	if r.Subprotocols != "" {
		dst = appendHeader(dst, "Sec-WebSocket-Protocol", r.Subprotocols)
	}
	if r.Token != nil {
		if token := r.Token(i); token != "" {
			dst = append(dst, "Authorization: Bearer "...)
			dst = append(dst, token...)
			dst = append(dst, "\r\n"...)
		}
	}
	for _, h := range r.Header {
		dst = appendHeader(dst, h[0], h[1])
	}
	dst = appendPadding(dst, r.Padding)
	dst = append(dst, "\r\n"...)
	if r.First > 0 && start+r.First < len(dst) {
		dst = dst[:start+r.First]
	}
	return dst
}

func appendHeader(dst []byte, name, value string) []byte {
	dst = append(dst, name...)
	dst = append(dst, ": "...)
	dst = append(dst, value...)
	return append(dst, "\r\n"...)
}

// appendPadding spreads n bytes over header lines of at most 4 KiB, which most
// servers accept.
func appendPadding(dst []byte, n int) []byte {
	const line = 4096
	for k := 0; n > 0; k++ {
		dst = append(dst, "X-Padding-"...)
		dst = strconv.AppendInt(dst, int64(k), 10)
		dst = append(dst, ": "...)
		for range min(n, line) {
			dst = append(dst, 'x')
		}
		dst = append(dst, "\r\n"...)
		n -= line
	}
	return dst
}

// acceptKey is what a server answers to a nonce (RFC 6455 §4.2.2).
func acceptKey(nonce [16]byte) (accept [28]byte) {
	const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	var b [24 + len(guid)]byte
	base64.StdEncoding.Encode(b[:24], nonce[:])
	copy(b[24:], guid)
	sum := sha1.Sum(b[:])
	base64.StdEncoding.Encode(accept[:], sum[:])
	return accept
}
