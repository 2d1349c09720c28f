package upgrade

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/jwt"
)

// The door the tests knock at, at a fixed time and with a fixed secret, so that
// every answer is a fixed string of bytes.
var (
	testNow    = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	testSecret = []byte("0123456789abcdef0123456789abcdef")
	testKey    = "dGhlIHNhbXBsZSBub25jZQ=="

	openDoor = &Upgrader{
		Subprotocols: []string{"chat.v2", "chat.v1"},
		Origins:      []string{"friend.example", "*.club.example", "https://safe.example", "dev.example:3000"},
		Now:          func() time.Time { return testNow },
	}
	authDoor = &Upgrader{
		Guards:       []Guard{Bearer(hs256(testSecret))},
		Subprotocols: openDoor.Subprotocols,
		Origins:      openDoor.Origins,
		Now:          openDoor.Now,
	}
	anyDoor   = &Upgrader{Origins: []string{"*"}, Now: openDoor.Now}
	namedDoor = &Upgrader{
		Origins: []string{"null", "file://", "chrome-extension://abcdefgh", "app://.", "http://[::1]:3000", "https://*.club.example"},
		Now:     openDoor.Now,
	}
)

// hs256 is a Verifier of a secret, for tests: to the door one is as good as another. Ours is
// in package jwt, which imports this one.
type hs256 []byte

func (secret hs256) Verify(token []byte, now time.Time) (*Identity, error) {
	sub, exp, claims, err := jwt.Verify(token, secret, now)
	switch {
	case err == jwt.ErrTokenExpired:
		return nil, ErrTokenExpired
	case err != nil:
		return nil, err
	}
	return &Identity{Subject: sub, ExpiresAt: exp, Claims: claims}, nil
}

// rejected returns what an error refuses with, in words.
func rejected(err error) string {
	if rej := asRejection(err); rej != nil {
		return fmt.Sprint(rej.Status, " ", rej.Code)
	}
	return fmt.Sprint(err)
}

// sign returns a token with the claims, signed with the test's secret.
func sign(claims jwt.MapClaims) string {
	s, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(testSecret)
	if err != nil {
		panic(err)
	}
	return s
}

func goodToken(sub string) string {
	return sign(jwt.MapClaims{"sub": sub, "exp": testNow.Add(time.Hour).Unix()})
}

// head writes a head of whole lines.
func head(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n\r\n" }

// up writes RFC 6455's upgrade with edits: "-Name" removes a line, "Name: v"
// replaces it or adds one, "+Name: v" adds one more, and a line with " HTTP/"
// is another request line.
func up(edits ...string) string {
	lines := []string{
		"GET /ws HTTP/1.1", "Host: chat.example", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Key: " + testKey, "Sec-WebSocket-Version: 13",
	}
	find := func(name string) int {
		for i, l := range lines {
			if strings.EqualFold(strings.SplitN(l, ":", 2)[0], name) {
				return i
			}
		}
		return -1
	}
	for _, e := range edits {
		name := strings.SplitN(e, ":", 2)[0]
		switch i := find(strings.TrimPrefix(name, "-")); {
		case strings.Contains(e, " HTTP/"):
			lines[0] = e
		case e[0] == '-':
			lines = append(lines[:i], lines[i+1:]...)
		case e[0] == '+':
			lines = append(lines, e[1:])
		case i >= 0:
			lines[i] = e
		default:
			lines = append(lines, e)
		}
	}
	return head(lines...)
}

// knock hands the chunks to a door as an event loop would, and returns the
// answer, the bytes behind the head, and the error that came with the answer.
// It checks that findEnd and Parse say what Read says.
func knock(u *Upgrader, chunks ...string) (answer, early string, err error) {
	var b []byte
	r, n := new(Request), 0
	for _, c := range chunks {
		from := len(b)
		b = append(b, c...)
		if n == 0 && err == nil {
			n, err = u.Read(b, from, r)
			if two := u.headAndParse(b, from); fmt.Sprint(two) != fmt.Sprint(err) {
				return fmt.Sprintf("Read says %v, findEnd and Parse %v", err, two), "", err
			}
		}
	}
	switch {
	case err != nil:
		return string(err.(*Rejection).AppendTo(nil, r, testNow)), "", err
	case n == 0:
		return "", string(b), nil
	}
	before := bytes.Clone(b)
	out, err := u.Respond(nil, r)
	if !bytes.Equal(before, b) {
		return "the head was altered: " + string(b), "", err
	}
	return string(out), string(b[n:]), err
}

func (u *Upgrader) headAndParse(b []byte, from int) error {
	n, err := u.findEnd(b, from)
	if n == 0 || err != nil {
		return err
	}
	return u.Parse(b[:n], new(Request))
}

// verdict returns status and code of an answer.
func verdict(answer string) string {
	if answer == "" {
		return "more"
	}
	status := answer[len("HTTP/1.1 "):][:3]
	_, code, ok := strings.Cut(answer, `"code":"`)
	if !ok {
		return status
	}
	return status + " " + strings.TrimSuffix(code, `"}`)
}

// mangle calls try with every way to cut s: whole, in two at every byte, byte
// by byte.
func mangle(t *testing.T, s string, try func(chunks ...string)) {
	t.Helper()
	try(s)
	step := 1 + len(s)/2000 // long heads need not be cut everywhere
	for i := 1; i < len(s); i += step {
		try(s[:i], s[i:])
	}
	try(strings.Split(s, "")...)
}
