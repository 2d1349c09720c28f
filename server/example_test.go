//go:build linux

package server_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"time"

	"github.com/gobwas/ws"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/server/middleware"
	"github.com/usher-ws/usher/upgrade"
)

// A room with a door: those on the list may talk to each other, and not too much. The client
// is made of gobwas/ws, which dials, and of the Conn of package upgrade.
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

	_, _, _, err := ws.Dial(context.Background(), url+"mallory")
	fmt.Println("mallory:", err)

	conn, _, _, err := ws.Dial(context.Background(), url+"alice")
	if err != nil {
		log.Fatal(err)
	}
	alice := upgrade.NewClientConn(conn, 0, nil) // the server does not speak first, so nothing came early
	if err := alice.WriteMessage(frame.OpText, []byte("hello")); err != nil {
		log.Fatal(err)
	}
	_, said, err := alice.ReadMessage()
	fmt.Println(string(said), err)
	if err := alice.Close(frame.StatusNormalClosure, ""); err != nil {
		log.Fatal(err)
	}

	if err := s.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// mallory: unexpected HTTP response status: 403
	// alice: hello <nil>
}

// A user hears on all devices what one of them has read.
func ExampleServer_UserConns() {
	s := &server.Server{Addr: "127.0.0.1:0"}
	s.Route("/", server.Route{
		Guards: []upgrade.Guard{upgrade.Bearer(passes{ /* … */ })},
		Message: func(c server.Conn, m server.Message) error {
			for _, other := range s.UserConns(c.Identity().Subject) {
				if other != c {
					_ = other.Send(m.Opcode, m.Data)
				}
			}
			return nil
		},
	})
}

// A Policy is what of a server's settings can change while it runs.
func ExampleServer_SetPolicy() {
	s := &server.Server{Addr: "127.0.0.1:0", MaxConnsPerUser: 8}
	s.Route("/echo", server.Route{Message: func(c server.Conn, m server.Message) error { return c.Send(m.Opcode, m.Data) }})
	if err := s.Start(); err != nil {
		log.Fatal(err)
	}
	p := s.Policy()
	p.MaxConnsPerUser = 4
	p.Routes["/echo"] = server.RoutePolicy{Limits: server.Limits{Messages: limiter.Rate{Limit: 50, Burst: 100}}}
	fmt.Println(s.SetPolicy(p))

	p.MaxConnsPerUser, p.Origins = 2, []string{"https://"}
	err := s.SetPolicy(p)
	fmt.Println(err != nil, s.Policy().MaxConnsPerUser)
	if err := s.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// <nil>
	// true 4
}

// Middleware is a struct of hooks. The first listed is the outermost, and the server tells
// which hooks of which middleware run for a path.
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
	conn, _, _, err := ws.Dial(context.Background(), fmt.Sprintf("ws://%v/echo", s.Addrs()[0]))
	if err != nil {
		log.Fatal(err)
	}
	client := upgrade.NewClientConn(conn, 0, nil)
	if err := client.WriteMessage(frame.OpText, []byte("hello")); err != nil {
		log.Fatal(err)
	}
	_, said, err := client.ReadMessage()
	fmt.Println(string(said), err)
	if err := client.Close(frame.StatusNormalClosure, ""); err != nil {
		log.Fatal(err)
	}
	fmt.Print(string(s.AppendRoutes(nil)))

	if err := s.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// HELLO - a friend <nil>
	// /echo
	//   guards      origin: same host
	//   limits      none
	//   middleware  logging (refused, open, message, close)
	//               transform (message)
	//               sign (message)
}
