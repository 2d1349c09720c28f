//go:build linux

package server_test

import (
	"context"
	"fmt"
	"log"

	"github.com/gobwas/ws"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// A table of what very many connections have, in which the garbage collector finds no pointer.
func ExampleConnKey() {
	scores := make(map[server.ConnKey]int32)
	s := &server.Server{Addr: "127.0.0.1:0", Loops: 1} // all callbacks on one goroutine
	s.Route("/", server.Route{
		Message: func(c server.Conn, m server.Message) error {
			scores[c.Key()] += int32(len(m.Data))
			for key, score := range scores {
				if err := key.Conn(c.Server()).Send(frame.OpText, fmt.Append(nil, score)); err != nil {
					return err
				}
			}
			return nil
		},
		Close: func(c server.Conn, _ error) { delete(scores, c.Key()) },
	})
	if err := s.Start(); err != nil {
		log.Fatal(err)
	}
	conn, _, _, err := ws.Dial(context.Background(), fmt.Sprintf("ws://%v/", s.Addrs()[0]))
	if err != nil {
		log.Fatal(err)
	}
	player := upgrade.NewClientConn(conn, 0, nil) // the server does not speak first
	if err := player.WriteMessage(frame.OpText, []byte("goal")); err != nil {
		log.Fatal(err)
	}
	_, score, err := player.ReadMessage()
	fmt.Println(string(score), err)
	if err := player.Close(frame.StatusNormalClosure, ""); err != nil {
		log.Fatal(err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output: 4 <nil>
}
