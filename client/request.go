//go:build linux

package client

import (
	"crypto/sha1"
	"encoding/base64"
)

// Request asks for an upgrade. Host and Path are required; what is in it goes out as it is,
// so none of it may have a line break.
type Request struct {
	Host string
	Path string // with the query

	Origin       string      // no header if empty
	Subprotocols string      // comma separated; no header if empty
	Token        string      // of a bearer; no header if empty
	Header       [][2]string // further ones, name and value

	// First, if not 0, is how many bytes of the request are sent; the rest is the owner's
	// business. It is for tests of servers.
	First int
}

// Key is the nonce of a request, Sec-WebSocket-Key before it is encoded.
type Key [16]byte

// Append appends the request to dst (RFC 6455 §4.1). No extension is offered.
func (r *Request) Append(dst []byte, key Key) []byte {
	start := len(dst)
	dst = append(dst, "GET "...)
	dst = append(dst, r.Path...)
	dst = append(dst, " HTTP/1.1\r\nHost: "...)
	dst = append(dst, r.Host...)
	dst = append(dst, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "...)
	dst = base64.StdEncoding.AppendEncode(dst, key[:])
	dst = append(dst, "\r\n"...)
	if r.Origin != "" {
		dst = appendHeader(dst, "Origin", r.Origin)
	}
	if r.Subprotocols != "" {
		dst = appendHeader(dst, "Sec-WebSocket-Protocol", r.Subprotocols)
	}
	if r.Token != "" {
		dst = append(dst, "Authorization: Bearer "...)
		dst = append(dst, r.Token...)
		dst = append(dst, "\r\n"...)
	}
	for _, h := range r.Header {
		dst = appendHeader(dst, h[0], h[1])
	}
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

// accept is what a server answers to the key (RFC 6455 §4.2.2).
func (k Key) accept() (accept [28]byte) {
	const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	var b [24 + len(guid)]byte
	base64.StdEncoding.Encode(b[:24], k[:])
	copy(b[24:], guid)
	sum := sha1.Sum(b[:])
	base64.StdEncoding.Encode(accept[:], sum[:])
	return accept
}
