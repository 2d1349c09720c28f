//go:build linux

package client

import (
	"strings"
	"testing"
)

// TestParseResponse: whole, and cut at every byte.
func TestParseResponse(t *testing.T) {
	for _, tt := range []struct {
		in       string
		eof      bool
		status   int
		body     string
		complete bool
		bad      bool
	}{
		{in: "HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n", status: 101, complete: true},
		{in: "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100\r\n\r\nHTTP/1.1 101 X\r\n\r\n", status: 101, complete: true},
		{in: "HTTP/1.1 204 No Content\r\n\r\n", status: 204, complete: true},
		{in: "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno", status: 403, body: "no", complete: true},
		{in: "HTTP/1.1 403\r\nContent-Length: 0\r\n\r\n", status: 403, complete: true},
		{in: "HTTP/1.0 503 X\r\n\r\nbye", eof: true, status: 503, body: "bye", complete: true},
		{in: "HTTP/1.1 400 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno!\r\n0\r\n\r\n", eof: true, status: 400},
		{in: "HTTP/1.1 400 X\r\nTransfer-Encoding: Chunked\r\nContent-Length: 1\r\n\r\n2;x=y\r\nno\r\n0b\r\n, it is not\r\n0\r\n\r\n", status: 400, body: "no, it is not", complete: true},
		{in: "HTTP/1.1 400 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\nTrailer: x\r\n\r\n", status: 400, body: "no", complete: true},
		{in: "HTTP/1.1 400 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n5\r\nye", eof: true, status: 400, body: "noye"},
		{in: "HTTP/1.1 400 X\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nno", eof: true, status: 400},
		{in: "HTTP/1.1 400 X\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nno", eof: true, status: 400},
		{in: "HTTP/1.1 403 X\r\nContent-Length: 5\r\n\r\nno", eof: true, status: 403, body: "no"},
		{in: "HTTP/1.1 403 X\r\nContent-Length: -5\r\n\r\nno", eof: true, status: 403, body: "no"},
		{in: "HTTP/2 200\r\n\r\n", bad: true},
		{in: "HTTP/1.1 abc\r\n\r\n", bad: true},
		{in: "HTTP/1.1 +12\r\n\r\n", bad: true},
		{in: "HTTP/1.1 099\r\n\r\n", bad: true},
		{in: "HTTP/1.1 2000\r\n\r\n", bad: true},
		{in: "hello\r\n\r\n", bad: true},
		{in: "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxResponse), bad: true},
	} {
		in := tt.in[:min(len(tt.in), 200)]
		r, n, err := ParseResponse([]byte(tt.in), tt.eof)
		if tt.bad {
			if err == nil && r.Complete {
				t.Errorf("%q: got %+v, want an error", in, r)
			}
			continue
		}
		if err != nil || n != len(tt.in) || r.Status != tt.status || string(r.Body) != tt.body || r.Complete != tt.complete {
			t.Errorf("%q: got %+v with body %q, %d, %v", in, r, r.Body, n, err)
		}
		if tt.eof {
			continue
		}
		for k := range len(tt.in) {
			if r, n, err := ParseResponse([]byte(tt.in[:k]), false); n != 0 || err != nil {
				t.Errorf("%q: got %+v, %d, %v, want more to be asked for", tt.in[:k], r, n, err)
			}
		}
	}
	long := "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", maxResponse)
	if r, n, err := ParseResponse([]byte(long), false); err != nil || n != len(long) || r.Complete {
		t.Errorf("an endless body: got complete %v, %d, %v, want what there is", r.Complete, n, err)
	}
}

// TestCheck: what a 101 must have, and must not.
func TestCheck(t *testing.T) {
	key := Key([]byte("the sample nonce"))
	const accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
	good := []string{"upgrade: WebSocket", "connection: keep-alive", "connection: x, Upgrade", accept}
	for _, tt := range []struct {
		name   string
		header []string
		want   error
	}{
		{"good", good, nil},
		{"no upgrade", good[1:], errUpgrade},
		{"another upgrade", append([]string{"Upgrade: h2c"}, good[1:]...), errUpgrade},
		{"no connection", []string{good[0], good[1], accept}, errConnection},
		{"no accept", good[:3], errAccept},
		{"the accept of another", append(good[:3:3], "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo="), errAccept},
		{"an extension", append(good[:4:4], "Sec-WebSocket-Extensions: permessage-deflate"), errExtension},
		{"a subprotocol", append(good[:4:4], "Sec-WebSocket-Protocol: q"), nil},
		{"another subprotocol", append(good[:4:4], "Sec-WebSocket-Protocol: r"), errSubprotocol},
		{"two subprotocols", append(good[:4:4], "Sec-WebSocket-Protocol: p, q"), errSubprotocol},
		{"an empty subprotocol", append(good[:4:4], "Sec-WebSocket-Protocol:"), errSubprotocol},
	} {
		r := Response{Status: 101, Header: []byte(strings.Join(tt.header, "\r\n"))}
		if got := r.check(&Request{Subprotocols: "p, q"}, key); got != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
	r := Response{Status: 101, Header: []byte(strings.Join(append(good, "Sec-WebSocket-Protocol: p"), "\r\n"))}
	if got := r.check(&Request{}, key); got != errSubprotocol {
		t.Errorf("a subprotocol where none was asked for: got %v", got)
	}
}

// FuzzResponse: however an answer is cut, it reads the same, and nothing panics.
func FuzzResponse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 101 X\r\nA: b\r\n\r\n\x81\x00"))
	f.Add([]byte("HTTP/1.1 400 X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 100 X\r\n\r\nHTTP/1.0 503 X\r\nContent-Length: 3\r\n\r\nbye"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, n, err := ParseResponse(b, false)
		if n > len(b) || n > 0 && err != nil {
			t.Fatalf("%d of %d, %v", n, len(b), err)
		}
		for k := range b {
			part, m, errPart := ParseResponse(b[:k], false)
			if errPart != nil && err == nil {
				t.Fatalf("%x is malformed at %d: %v", b, k, errPart)
			}
			if m > 0 && (part.Status != r.Status || string(part.Header) != string(r.Header) || string(part.Body) != string(r.Body)) {
				t.Fatalf("%x: got %+v at %d, %+v at the end", b, part, k, r)
			}
		}
		_, _, _ = ParseResponse(b, true)
	})
}
