// Package text has what several packages do with short texts.
package text

import "unicode/utf8"

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
