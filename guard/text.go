//go:build linux

package guard

import (
	"bytes"
	"iter"
	"net/url"
	"slices"
)

const hexDigits = "0123456789ABCDEF"

// appendLine appends a header line.
func appendLine[T string | []byte](dst []byte, name string, value T) []byte {
	dst = append(append(dst, name...), ": "...)
	return append(append(dst, value...), "\r\n"...)
}

// appendTarget appends a part of a request's target, with escapes for what a URL does not have
// (RFC 3986 §2): a fragment would not reach the application, and for some a backslash is a
// slash.
func appendTarget(dst, b []byte) []byte {
	for _, c := range b {
		if c <= ' ' || c >= 0x7F || bytes.IndexByte([]byte("\"#<>\\^`{|}"), c) >= 0 {
			dst = append(dst, '%', hexDigits[c>>4], hexDigits[c&15])
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

// appendEscaped appends what anybody may have put into a token, as a header's value: no byte
// of it can end the line or be read in two ways.
func appendEscaped(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7F || c == '%' {
			dst = append(dst, '%', hexDigits[c>>4], hexDigits[c&15])
			continue
		}
		dst = append(dst, s[i])
	}
	return dst
}

// unescape returns a name in a query as an application reads it.
func unescape(name []byte) string {
	s, err := url.QueryUnescape(string(name))
	if err != nil {
		return string(name)
	}
	return s
}

func has(names []string, name string) bool { return slices.Contains(names, name) }

// elements yields the elements of a list whose elements may have quoted strings (RFC 9110
// §5.6.1, §5.6.4).
func elements(list []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		from, isQuoted := 0, false
		for i := 0; i <= len(list); i++ {
			switch {
			case i < len(list) && list[i] == '"':
				isQuoted = !isQuoted
			case i == len(list) || list[i] == ',' && !isQuoted:
				if e := bytes.Trim(list[from:i], " \t"); len(e) > 0 && !yield(e) {
					return
				}
				from = i + 1
			}
		}
	}
}
