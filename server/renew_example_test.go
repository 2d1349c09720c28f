//go:build linux

package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/gobwas/ws"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// passes is a Verifier that has a list of tokens. Package upgrade/jwt has one that knows
// JSON Web Tokens.
type passes map[string]upgrade.Identity

// Verify implements upgrade.Verifier.
func (p passes) Verify(token []byte, now time.Time) (*upgrade.Identity, error) {
	id, ok := p[string(token)]
	switch {
	case !ok:
		return nil, errors.New("no such pass")
	case !now.Before(id.ExpiresAt):
		return nil, upgrade.ErrTokenExpired
	}
	return &id, nil
}

// A client that brings a new token before the old one's exp stays connected.
func ExampleConn_Renew() {
	ends := func(year int) time.Time { return time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC) }
	keys := passes{
		"one":   {Subject: "alice", ExpiresAt: ends(2090)},
		"two":   {Subject: "alice", ExpiresAt: ends(2095)},
		"three": {Subject: "bob", ExpiresAt: ends(2099)},
	}
	s := &server.Server{Addr: "127.0.0.1:0", Drain: -1}
	s.Route("/", server.Route{
		Guards: []upgrade.Guard{upgrade.Bearer(keys)},
		Message: func(c server.Conn, m server.Message) error {
			token, renews := bytes.CutPrefix(m.Data, []byte("renew "))
			if !renews {
				return nil
			}
			id, err := keys.Verify(token, time.Now())
			if err == nil {
				err = c.Renew(id)
			}
			if err != nil {
				return c.Send(m.Opcode, []byte("that token will not do"))
			}
			return c.Send(m.Opcode, fmt.Appendf(nil, "until %d", c.Identity().ExpiresAt.Year()))
		},
	})
	if err := s.Start(); err != nil {
		log.Fatal(err)
	}

	conn, _, _, err := ws.Dial(context.Background(), fmt.Sprintf("ws://%v/?token=one", s.Addrs()[0]))
	if err != nil {
		log.Fatal(err)
	}
	alice := upgrade.NewClientConn(conn, 0, nil)
	for _, fresh := range []string{"two", "three", "four"} {
		if err := alice.WriteMessage(frame.OpText, []byte("renew "+fresh)); err != nil {
			log.Fatal(err)
		}
		_, said, err := alice.ReadMessage()
		fmt.Println(string(said), err)
	}
	if err := alice.Close(frame.StatusNormalClosure, ""); err != nil {
		log.Fatal(err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// until 2095 <nil>
	// that token will not do <nil>
	// that token will not do <nil>
}
