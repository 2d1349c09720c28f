//go:build linux

package server_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/gobwas/ws"

	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// A user is banned for ten minutes, and its connections are closed.
func ExampleServer_Ban() {
	keys := passes{"one": {Subject: "alice", ExpiresAt: time.Now().Add(time.Hour)}}
	s := &server.Server{Addr: "127.0.0.1:0", Drain: -1}
	s.Route("/", server.Route{Guards: []upgrade.Guard{upgrade.Bearer(keys), s.NotBanned()}})
	if err := s.Start(); err != nil {
		log.Fatal(err)
	}
	url := fmt.Sprintf("ws://%v/?token=one", s.Addrs()[0])
	conn, _, _, err := ws.Dial(context.Background(), url)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	if err := s.Ban("alice", time.Now().Add(10*time.Minute)); err != nil {
		log.Fatal(err)
	}
	closed, err := s.CloseUser("alice", 4403, "banned") // behind Ban, so that nobody slips in between
	fmt.Println(closed, err)
	_, _, err = upgrade.NewClientConn(conn, 0, nil).ReadMessage()
	fmt.Println(err)
	if _, _, _, err = ws.Dial(context.Background(), url); err != nil {
		fmt.Println(err)
	}
	if err := s.Shutdown(context.Background()); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 1 <nil>
	// upgrade: the peer closed with 4403: "banned"
	// unexpected HTTP response status: 403
}
