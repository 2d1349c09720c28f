// Package text has what several packages do with short texts.
package text

import (
	"bytes"
	"iter"
	"net/netip"
	"unicode/utf8"
)

// Prefix returns as much of s as fits into n bytes without the half of a character at its
// end.
func Prefix[T string | []byte](s T, n int) T {
	if len(s) <= n {
		return s
	}
	end := n
	for end > 0 && end > n-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	if !utf8.RuneStart(s[end]) {
		return s[:n] // no UTF-8 anyway
	}
	return s[:end]
}

// Elements yields the elements of a comma-separated list, without white space around them.
// Empty ones are left out (RFC 9110 §5.6.1). They are parts of list.
func Elements(list []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for rest, more := list, true; more; {
			var part []byte
			part, rest, more = bytes.Cut(rest, []byte{','})
			if part = bytes.Trim(part, " \t"); len(part) > 0 && !yield(part) {
				return
			}
		}
	}
}

// Peer returns an address as it is logged: that of a unix socket, or of a peer that has gone,
// is unknown.
func Peer(addr netip.AddrPort) string {
	if !addr.IsValid() {
		return "unknown"
	}
	return addr.String()
}
