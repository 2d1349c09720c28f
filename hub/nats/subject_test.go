//go:build linux

package nats

import (
	"strings"
	"testing"
)

func TestToken(t *testing.T) {
	for name, want := range map[string]string{
		"alice":                     "alice",
		"A-z_0":                     "A-z_0",
		strings.Repeat("x", 64):     strings.Repeat("x", 64),
		strings.Repeat("x", 65):     "~eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg",
		"":                          "~",
		">":                         "~Pg",
		"*":                         "~Kg",
		"a.b":                       "~YS5i",
		" ":                         "~IA",
		"~":                         "~fg",
		"größe":                     "~Z3LDtsOfZQ",
		"\xff\xfe":                  "~__4",
		strings.Repeat(">", 10<<10): "~" + strings.Repeat("Pj4-", 10<<10/3) + "Pg",
	} {
		got := Token(name)
		if got != want {
			t.Errorf("%.20q: got %.80q, want %.80q", name, got, want)
		}
		if back, ok := nameOf(got); !ok || back != name {
			t.Errorf("%.20q: got %.20q back from %.80q", name, back, got)
		}
	}
	for _, token := range []string{"", "a.b", ">", "*", "~YWxpY2U", "~Pg==", "~Ph", "~Pg\n", "~+/", "a b", strings.Repeat("x", 65)} {
		if name, ok := nameOf(token); ok {
			t.Errorf("%q: got %q, want no name", token, name)
		}
	}
}

// FuzzToken: each name has one token.
func FuzzToken(f *testing.F) {
	f.Add("alice", "~Pg")
	f.Fuzz(func(t *testing.T, name, token string) {
		if back, ok := nameOf(Token(name)); !ok || back != name || strings.ContainsAny(Token(name), ".*> \t\r\n") {
			t.Errorf("%q: got token %q, and %q back", name, Token(name), back)
		}
		if name, ok := nameOf(token); ok && Token(name) != token {
			t.Errorf("%q: got %q of it, whose token is %q", token, name, Token(name))
		}
	})
}
