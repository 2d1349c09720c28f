package upgrade_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/gobwas/ws"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/upgrade"
)

// An echo over a listener of one's own. The client is another library's: gobwas/ws dials,
// and what it read too much of comes first.
func ExampleNewConn() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := ln.Accept()
		if err != nil {
			log.Fatal(err)
		}
		r, early, err := new(upgrade.Upgrader).Upgrade(conn)
		if err != nil {
			return // the client has its answer
		}
		c := upgrade.NewConn(conn, r, early)
		defer c.Close(frame.StatusNormalClosure, "")
		for {
			op, msg, err := c.ReadMessage()
			if err != nil {
				fmt.Println(err)
				return
			}
			if err := c.WriteMessage(op, msg); err != nil {
				return
			}
		}
	}()

	conn, ahead, _, err := ws.Dial(context.Background(), "ws://"+ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	var early []byte
	if ahead != nil {
		early, _ = ahead.Peek(ahead.Buffered())
	}
	client := upgrade.NewClientConn(conn, 0, early)
	if err := client.WriteMessage(frame.OpText, []byte("Hello")); err != nil {
		log.Fatal(err)
	}
	op, msg, err := client.ReadMessage()
	fmt.Printf("%s %s %v\n", op, msg, err)
	fmt.Println(client.Close(frame.StatusGoingAway, "that is all"))
	<-done
	// Unordered output:
	// text Hello <nil>
	// upgrade: the peer closed with 1001 going away: "that is all"
	// <nil>
}

// Inside net/http. Close may be called from anywhere, and ends the reading.
func ExampleConn_Close() {
	door := new(upgrade.Upgrader)
	full, done := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		conn, r, early, err := door.UpgradeHTTP(w, req)
		if err != nil {
			return // the client has had its answer
		}
		defer close(done)
		c := upgrade.NewConn(conn, r, early)
		go func() {
			<-full
			_ = c.Close(frame.StatusTryAgainLater, "full")
		}()
		_, _, err = c.ReadMessage()
		fmt.Println(errors.Is(err, net.ErrClosed))
		_ = c.Close(frame.StatusNormalClosure, "") // waits for the other
	}))
	defer server.Close()

	conn, _, _, err := ws.Dial(context.Background(), "ws"+strings.TrimPrefix(server.URL, "http"))
	if err != nil {
		log.Fatal(err)
	}
	client := upgrade.NewClientConn(conn, 0, nil) // the server waits, and has said nothing early
	close(full)
	_, _, err = client.ReadMessage()
	var bye *upgrade.CloseError
	if errors.As(err, &bye) {
		fmt.Println(bye.Code, bye.Reason)
	}
	fmt.Println(client.Close(0, ""))
	<-done
	// Unordered output:
	// true
	// 1013 try again later full
	// <nil>
}
