//go:build linux

package chat

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxRoomName = 64 // bytes
	maxName     = 64 // characters of a user's name

	serverName   = "Server"
	serverPrefix = serverName + ": "
)

// ValidRoom reports whether name can be a room's: 1 to 64 of the letters
// A-Z, a-z, 0-9, "_" and "-".
func ValidRoom(name string) bool {
	if len(name) == 0 || len(name) > maxRoomName {
		return false
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// ValidName reports whether name can be a member's: 1 to 64 visible characters
// without a space among them, and not the server's own.
func ValidName(name string) bool {
	if name == "" || !utf8.ValidString(name) || utf8.RuneCountInString(name) > maxName {
		return false
	}
	for _, r := range name {
		// IsPrint knows no space but the ASCII one, and none of the invisible
		// characters that reorder or join others.
		if r == ' ' || !unicode.IsPrint(r) {
			return false
		}
	}
	return !strings.EqualFold(name, serverName)
}

// printable reports whether text has no control character but the tab, and no
// separator that some clients would show as a new line.
func printable(text string) bool {
	for _, r := range text {
		if r != '\t' && unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return false
		}
	}
	return true
}

// cut returns the first n characters of s, and a mark if there were more.
func cut(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i] + "…"
		}
		n--
	}
	return s
}

// grouped returns n with a comma before every three digits from the end.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
