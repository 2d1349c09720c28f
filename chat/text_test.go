//go:build linux

package chat

import (
	"strings"
	"testing"
)

func TestValidRoom(t *testing.T) {
	for _, name := range []string{"a", "lobby", "A-Z_09", "-", strings.Repeat("x", 64)} {
		if !ValidRoom(name) {
			t.Errorf("ValidRoom(%q): got false, want true", name)
		}
	}
	for _, name := range []string{"", strings.Repeat("x", 65), "a b", "a/b", "a.b", "é", "a\x00", "a\n", "..", "%41"} {
		if ValidRoom(name) {
			t.Errorf("ValidRoom(%q): got true, want false", name)
		}
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 12345: "12,345", 123456: "123,456", 1234567: "1,234,567"} {
		if got := grouped(n); got != want {
			t.Errorf("grouped(%d): got %q, want %q", n, got, want)
		}
	}
}
