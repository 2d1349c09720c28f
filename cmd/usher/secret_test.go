//go:build linux

package main

import (
	"strings"
	"testing"
)

// TestParseSecret: one newline at the end is left out, and anything else that cannot be seen
// is an error.
func TestParseSecret(t *testing.T) {
	good := strings.Repeat("s", 32)
	for text, want := range map[string]string{
		good: good, good + "\n": good, good + "\r\n": good,
		"two words " + good: "two words " + good, "ü" + good: "ü" + good,
	} {
		if got, err := parseSecret([]byte(text), "f", "HS256"); err != nil || string(got.text) != want {
			t.Errorf("%q: got %q, %v, want %q", text, got.text, err, want)
		}
	}
	for text, says := range map[string]string{
		"": "empty", "\n": "empty", "\r\n": "empty", "  ": "blanks", "\n\n": "blanks",
		good + "\n\n": "empty lines", "\n" + good: "empty lines", good + "\r\n\r\n": "empty lines",
		" " + good: "blanks", good + " ": "blanks", good + "\t\n": "blanks",
		"\xef\xbb\xbf" + good: "byte order mark", "\xff\xfes\x00s\x00" + good: "byte order mark",
		good + "\x00": "one line of text", good + "\n" + good: "one line of text", good + "\r" + good: "one line of text",
		good + "\xff": "one line of text", good + "\u200b": "one line of text", good + "\ufeff": "one line of text",
		"short": "has 5 bytes and needs 32", strings.Repeat("s", 31) + "\n": "has 31 bytes",
	} {
		if got, err := parseSecret([]byte(text), "f", "HS256"); err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "sss") {
			t.Errorf("%q: got %q, %v, want %q", text, got.text, err, says)
		}
	}
}
