package upgrade

import (
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// TestTraps: the gate closes what gobwas/ws's Upgrader leaves open. It accepts each of
// these heads and we refuse them, or the reverse; if that changes, the test says so, and
// the gate can become simpler.
func TestTraps(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]string{
		"bare LF":                   strings.ReplaceAll(up(), "\r\n", "\n"),
		"a space before the colon":  up("Host : chat.example"),
		"a folded line":             up("X: a", "+ b: c"),
		"a control byte":            up("X: \x01"),
		"an empty name":             up(": x"),
		"two Hosts":                 up("+Host: evil.example"),
		"two Keys":                  up("+Sec-WebSocket-Key: " + testKey),
		"a key that is no base64":   up("Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!!!"),
		"a body":                    up("Content-Length: 5"),
		"a chunked body":            up("Transfer-Encoding: chunked"),
		"HTTP/1.:":                  up("GET /ws HTTP/1.:"),
		"a target that is none":     up("GET \x01 HTTP/1.1"),
		"a list without commas":     up("Connection: keep-alive Upgrade"),
		"a foreign page":            up("Origin: https://evil.example"),
		"a head without end":        up("X: " + strings.Repeat("x", 1<<20)),
		"more lines than can be":    up(strings.Split(strings.Repeat("+X: y\n", 1000)+"+X: y", "\n")...),
		"an HTTP of its own making": up("GET /ws HTTP/1.7"),
	} {
		if err := bareVerdict(h); err != nil {
			t.Errorf("%s: gobwas/ws now refuses it: %v", name, err)
		}
		answer, _, err := knock(openDoor, h)
		if _, ok := err.(*Rejection); !ok {
			t.Errorf("%s: got %v\n%s", name, err, answer)
		}
	}
	two := up("Connection: keep-alive", "+Connection: Upgrade")
	if bareVerdict(two) == nil {
		t.Error("two Connection lines: gobwas/ws now accepts them")
	}
	if answer, _, err := knock(openDoor, two); err != nil {
		t.Errorf("two Connection lines: %v\n%s", err, answer)
	}
}

func bareVerdict(head string) error {
	m := new(memory)
	m.in.Reset([]byte(head))
	_, err := ws.Upgrade(m)
	return err
}

// TestEarlyBytes: frames sent with the request stay where they are.
func TestEarlyBytes(t *testing.T) {
	t.Parallel()
	const frames = "\x81\x85abcd\x09\x07\x0f\x08\x0e\x81"
	mangle(t, up()+frames, func(chunks ...string) {
		if answer, early, err := knock(openDoor, chunks...); err != nil || early != frames {
			t.Fatalf("%v, early %x, want %x\n%s", err, early, frames, answer)
		}
	})
}
