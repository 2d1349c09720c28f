package jwt

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"
	"github.com/usher-ws/usher/internal/leak"
	"github.com/usher-ws/usher/upgrade"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

// The door the tests knock at, at a fixed time and with a fixed secret.
var (
	testNow    = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	testSecret = []byte("0123456789abcdef0123456789abcdef")
	authDoor   = doorOf(mustHS256(testSecret))
)

func doorOf(v upgrade.Verifier) *upgrade.Upgrader {
	return &upgrade.Upgrader{Guards: []upgrade.Guard{upgrade.Bearer(v)}, Now: func() time.Time { return testNow }}
}

func mustHS256(secret []byte) *Verifier {
	v, err := HS256(secret)
	if err != nil {
		panic(err)
	}
	return v
}

// sign returns a token with the claims, signed with the test's secret.
func sign(claims gojwt.MapClaims) string {
	s, err := gojwt.NewWithClaims(gojwt.SigningMethodHS256, claims).SignedString(testSecret)
	if err != nil {
		panic(err)
	}
	return s
}

func goodToken(sub string) string {
	return sign(gojwt.MapClaims{"sub": sub, "exp": testNow.Add(time.Hour).Unix()})
}

// unsigned returns a token of the algorithm none.
func unsigned() []byte {
	claims := gojwt.MapClaims{"sub": "a", "exp": testNow.Add(time.Hour).Unix()}
	s, _ := gojwt.NewWithClaims(gojwt.SigningMethodNone, claims).SignedString(gojwt.UnsafeAllowNoneSignatureType)
	return []byte(s)
}

// up returns the head of an upgrade to /ws with further lines; one with " HTTP/" in it is
// another request line.
func up(lines ...string) string {
	all := []string{
		"GET /ws HTTP/1.1", "Host: chat.example", "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
	}
	for _, line := range lines {
		if strings.Contains(line, " HTTP/") {
			all[0] = line
			continue
		}
		all = append(all, line)
	}
	return strings.Join(all, "\r\n") + "\r\n\r\n"
}

// knock returns the verdict of a door, in words, and its error.
func knock(u *upgrade.Upgrader, head string) (verdict string, err error) {
	r := new(upgrade.Request)
	if err = u.Parse([]byte(head), r); err == nil {
		_, err = u.Respond(nil, r)
	}
	var rej *upgrade.Rejection
	switch {
	case err == nil:
		return "101", nil
	case errors.As(err, &rej):
		return fmt.Sprint(rej.Status, " ", rej.Code), err
	}
	return err.Error(), err
}
