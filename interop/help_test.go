// Package interop tests the door, its Conn and the client with other libraries. Nobody imports it, so
// programs that embed usher do not fetch those libraries: go mod tidy would fetch them for
// the tests of an imported package.
package interop

import (
	"errors"
	"fmt"
	"log"
	"net"
	"sync"
	"testing"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"

	"github.com/usher-ws/usher/internal/leak"
	"github.com/usher-ws/usher/upgrade"
	"github.com/usher-ws/usher/upgrade/jwt"
)

func TestMain(m *testing.M) { leak.VerifyTestMain(m) }

var (
	openDoor    = &upgrade.Upgrader{}
	deflateDoor = &upgrade.Upgrader{Deflate: true}

	secret = []byte("0123456789abcdef0123456789abcdef")
	keys   = hs256(secret)
)

func hs256(secret []byte) upgrade.Verifier {
	v, err := jwt.HS256(secret)
	if err != nil {
		log.Fatal(err)
	}
	return v
}

func goodToken(sub string) string {
	claims := gojwt.MapClaims{"sub": sub, "exp": time.Now().Add(time.Hour).Unix()}
	s, err := gojwt.NewWithClaims(gojwt.SigningMethodHS256, claims).SignedString(secret)
	if err != nil {
		log.Fatal(err)
	}
	return s
}

// fixed is a Verifier that knows one client only.
type fixed struct{ id *upgrade.Identity }

func (f fixed) Verify([]byte, time.Time) (*upgrade.Identity, error) { return f.id, nil }

// outcome is what an upgrade returned.
type outcome struct {
	r     *upgrade.Request
	early []byte
	err   error
}

// serve runs u.Upgrade for every connection to the returned address, and hands over what
// comes of it.
func serve(t *testing.T, u *upgrade.Upgrader, then func(conn net.Conn, o outcome)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				var o outcome
				o.r, o.early, o.err = u.Upgrade(conn)
				then(conn, o)
			})
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return ln.Addr().String()
}

// echo answers each message with itself, and returns how that ended.
func echo(c *upgrade.Conn) string {
	for {
		op, msg, err := c.ReadMessage()
		if err == nil {
			err = c.WriteMessage(op, msg)
		}
		if err != nil {
			return ending(err)
		}
	}
}

func ending(err error) string {
	var bye *upgrade.CloseError
	if errors.As(err, &bye) {
		return fmt.Sprintf("[close %d %x]", bye.Code, bye.Reason)
	}
	return err.Error()
}
