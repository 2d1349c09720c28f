//go:build linux

package server_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/gorilla/websocket"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/server"
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
	room := server.NewGroup()
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
