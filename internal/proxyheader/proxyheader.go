// Package proxyheader finds and reads the header with which a proxy says where a connection
// comes from: the PROXY protocol, versions 1 and 2,
// https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt. Where the header ends is found
// here, so that nothing behind it is touched; go-proxyproto reads exactly these bytes.
package proxyheader

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/pires/go-proxyproto"
)

const (
	// Limit is the largest header that is taken: what fits into the smallest segment of TCP,
	// in which the protocol wants all of it.
	Limit = 536

	lineLimit = 107 // version 1, with its CR LF: §2.1
	fixed     = 16  // version 2, up to its length: §2.2
)

// How the two versions begin.
var (
	line   = []byte("PROXY ")
	packed = proxyproto.SIGV2
)

// Why a header is not taken.
const (
	Missing   = "missing"   // something else came
	Malformed = "malformed" // it begins as a header and is none
	TooLarge  = "too_large" // more than Limit, or a line of more than 107 bytes
)

// Error says why a header is not taken.
type Error struct {
	Reason string // Missing, Malformed or TooLarge
	cause  error
}

func (e *Error) Error() string {
	if e.cause == nil {
		return "PROXY header: " + e.Reason
	}
	return fmt.Sprintf("PROXY header: %s: %v", e.Reason, e.cause)
}

func (e *Error) Unwrap() error { return e.cause }

// Read returns the length of the header that b begins with, and the address that it gives for
// the client; the zero AddrPort if it gives none: for LOCAL, for UNKNOWN, and for a client of
// another family than IP. 0 and no error mean that more bytes are needed. The error is an
// *Error, and comes as soon as no further bytes can make b good; only what is within a header
// of version 2 is judged when all of it is there.
func Read(b []byte) (n int, client netip.AddrPort, err error) {
	n, err = length(b)
	if n == 0 {
		return 0, netip.AddrPort{}, err
	}
	h, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(b[:n]), n))
	if err != nil {
		return 0, netip.AddrPort{}, &Error{Malformed, err}
	}
	if !h.Command.IsLocal() {
		client = addrPort(h.SourceAddr)
	}
	return n, client, nil
}

// length finds the end of the header.
func length(b []byte) (int, error) {
	switch {
	case begins(b, line):
		end := bytes.IndexByte(b[:min(len(b), lineLimit)], '\n')
		if end < 0 && len(b) >= lineLimit {
			return 0, &Error{Reason: TooLarge}
		}
		return end + 1, nil
	case !begins(b, packed):
		return 0, &Error{Reason: Missing}
	case len(b) < fixed:
		return 0, nil
	}
	n := fixed + int(binary.BigEndian.Uint16(b[fixed-2:]))
	if n > Limit {
		return 0, &Error{Reason: TooLarge}
	}
	if len(b) < n {
		return 0, nil
	}
	return n, nil
}

// begins reports whether b begins with a signature, as far as it goes.
func begins(b, signature []byte) bool {
	n := min(len(b), len(signature))
	return bytes.Equal(b[:n], signature[:n])
}

func addrPort(a net.Addr) netip.AddrPort {
	var at netip.AddrPort
	switch a := a.(type) {
	case *net.TCPAddr:
		at = a.AddrPort()
	case *net.UDPAddr:
		at = a.AddrPort()
	}
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}
