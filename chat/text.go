//go:build linux

package chat

import "strconv"

const maxRoomName = 64 // bytes

// ValidRoom reports whether name can be a room's: 1 to 64 of the characters A-Z, a-z, 0-9,
// "_" and "-".
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

// cut returns the first n characters of s, with an ellipsis if there are more.
func cut(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i] + "…"
		}
		n--
	}
	return s
}

// grouped returns n in decimal, with a comma between groups of three digits.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
