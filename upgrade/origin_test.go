package upgrade

import (
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, p := range []string{
		"*", "chat.example", "CHAT.example", "localhost", "chat.example:3000", "*.chat.example", "*.chat.example:3000",
		"https://chat.example", "http://chat.example:8080", "https://*.chat.example", "192.0.2.1", "[::1]", "[::1]:8080",
		"http://[2001:db8::1]", "chrome-extension://abcdefgh", "app://x", "xn--mnchen-3ya.example",
		"null", "file://", "app://.", "qrc://", "moz-extension://a-b-c",
	} {
		if err := (&Upgrader{Origins: []string{p}}).Validate(); err != nil {
			t.Error(err)
		}
	}
	for _, p := range []string{
		"", " ", "NULL", "https://null", "file:///", "1file://", "ws://", "https://", "://chat.example", "https:/chat.example", "https://chat.example/", "chat.example/x",
		"https://chat.example/path", "*chat.example", "chat.*", "*.", "*.*", "**", "https://*", "*:3000", "chat.example:",
		"chat.example:port", "chat.example:123456", "chat example", "user@chat.example", "chat..example", ".chat.example",
		"*..chat.example", "chat.example,b.example", "https//chat.example", "münchen.example", "[::1", "*.[::1]", "https://https://x", "chrome-extension://*", "chrome-extension://a/b", "file://a@b",
	} {
		if err := (&Upgrader{Origins: []string{"ok.example", p}}).Validate(); err == nil {
			t.Errorf("%q was taken", p)
		} else if !strings.Contains(err.Error(), "want host") {
			t.Errorf("%q: %v does not say what is wanted", p, err)
		}
	}
	for _, p := range []string{"", "a b", "a,b", "ä"} {
		if (&Upgrader{Subprotocols: []string{p}}).Validate() == nil {
			t.Errorf("subprotocol %q was taken", p)
		}
	}
	for _, u := range []*Upgrader{{}, openDoor, authDoor} {
		if err := u.Validate(); err != nil {
			t.Error(err)
		}
	}
}
