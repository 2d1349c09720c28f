//go:build linux

package server_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"log/slog"
	"time"

	gojwt "github.com/usher-ws/usher/internal/jwt"
	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/server"
	jwt "github.com/usher-ws/usher/server/internal/tokens"
	"github.com/usher-ws/usher/server/middleware"
	"github.com/usher-ws/usher/upgrade"
)

// A room with a door: who is on the list may talk to the others, and not too much.
func Example() {
	invited := upgrade.Guard{OnRequest: func(r *upgrade.Request) error {
		if r.PathValue("name") != "alice" {
			return upgrade.Reject(403, "not_invited", "You are not on the list.")
		}
		return nil
	}}
	room := new(server.Group)
	s := &server.Server{Addr: "127.0.0.1:0", Drain: time.Second}
	s.Route("/party/{name}", server.Route{
		Guards: []upgrade.Guard{invited},
		Limits: server.Limits{Messages: limiter.Rate{Limit: 10, Burst: 20}},
		Open:   func(c server.Conn) error { return room.Join(c) },
		Message: func(c server.Conn, m server.Message) error {
			return room.Send(m.Opcode, fmt.Appendf(nil, "%s: %s", c.PathValue("name"), m.Data))
		},
	})
	if err := s.Start(); err != nil {
		log.Fatal(err)
	}
	url := fmt.Sprintf("ws://%v/party/", s.Addrs()[0])

	_, resp, _ := websocket.DefaultDialer.Dial(url+"mallory", nil)
	fmt.Println("mallory:", resp.Status)

	alice, _, err := websocket.DefaultDialer.Dial(url+"alice", nil)
	if err != nil {
		log.Fatal(err)
	}
	alice.WriteMessage(websocket.TextMessage, []byte("hello"))
	_, said, _ := alice.ReadMessage()
	fmt.Println(string(said))
	alice.Close()

	if err := s.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// mallory: 403 Forbidden
	// alice: hello
}

// A client that brings a new token before the old one's exp stays connected.
func ExampleConn_Renew() {
	secret := []byte("a secret of 32 bytes or more ...")
	keys, err := jwt.HS256(secret)
	if err != nil {
		log.Fatal(err)
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
			return c.Send(m.Opcode, fmt.Appendf(nil, "until %s", c.Identity().ExpiresAt.UTC().Format("2006")))
		},
	})
	if err := s.Start(); err != nil {
		log.Fatal(err)
	}
	token := func(sub string, year int) string {
		exp := time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC).Unix()
		s, err := gojwt.NewWithClaims(gojwt.SigningMethodHS256, gojwt.MapClaims{"sub": sub, "exp": exp}).SignedString(secret)
		if err != nil {
			log.Fatal(err)
		}
		return s
	}
	alice, _, err := websocket.DefaultDialer.Dial(fmt.Sprintf("ws://%v/?token=%s", s.Addrs()[0], token("alice", 2090)), nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, fresh := range []string{token("alice", 2095), token("bob", 2099)} {
		alice.WriteMessage(websocket.TextMessage, []byte("renew "+fresh))
		_, said, _ := alice.ReadMessage()
		fmt.Println(string(said))
	}
	alice.Close()
	if err := s.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// until 2095
	// that token will not do
}

// Middleware is a struct of hooks. The first listed is the outermost, and the server
// tells what it has made of all of them.
func ExampleMiddleware() {
	sign := server.Middleware{
		Name: "sign",
		Message: func(next server.MessageFunc) server.MessageFunc {
			return func(c server.Conn, m server.Message) error {
				m.Data = append(m.Data, " - a friend"...)
				return next(c, m)
			}
		},
	}
	s := &server.Server{Addr: "127.0.0.1:0", Drain: time.Second}
	ring := server.NewLogRing(slog.DiscardHandler)
	defer ring.Close(time.Second)
	s.Use(middleware.Logging(ring))
	s.Route("/echo", server.Route{
		Middleware: []server.Middleware{middleware.Transform(middleware.Upper, nil), sign},
		Message:    func(c server.Conn, m server.Message) error { return c.Send(m.Opcode, m.Data) },
	})
	if err := s.Start(); err != nil {
		log.Fatal(err)
	}
	conn, _, err := websocket.DefaultDialer.Dial(fmt.Sprintf("ws://%v/echo", s.Addrs()[0]), nil)
	if err != nil {
		log.Fatal(err)
	}
	conn.WriteMessage(websocket.TextMessage, []byte("hello"))
	_, said, _ := conn.ReadMessage()
	fmt.Println(string(said))
	conn.Close()
	fmt.Print(string(s.AppendRoutes(nil)))

	if err := s.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// HELLO - a friend
	// /echo
	//   guards      origin: same host
	//   limits      none
	//   middleware  logging (refused, open, message, close)
	//               transform (message)
	//               sign (message)
}
