//go:build linux

package server

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/usher-ws/usher/internal/websocket"

	"github.com/usher-ws/usher/frame"
)

// TestReplyOrder: what callbacks say, and what a goroutine of theirs says meanwhile,
// arrives in the order in which it was accepted, with and without a self.
func TestReplyOrder(t *testing.T) {
	for _, known := range []bool{true, false} {
		t.Run(fmt.Sprint("self=", known), func(t *testing.T) {
			t.Parallel()
			s := &Server{Addr: "127.0.0.1:0", Loops: 1, Logger: slog.New(slog.DiscardHandler)}
			s.Route("/", Route{Message: func(c Conn, m Message) error {
				say := func(word string) {
					if err := c.Send(frame.OpText, append([]byte(word), m.Data...)); err != nil {
						t.Errorf("Send: %v", err)
					}
				}
				say("one ")
				said := make(chan bool)
				go func() { say("two "); close(said) }()
				<-said
				say("three ")
				if string(m.Data) == "end" {
					return &CloseError{Code: frame.StatusNormalClosure, Reason: "done"}
				}
				return nil
			}})
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				_ = s.Shutdown(ctx)
				if err := s.Wait(); err != nil {
					t.Error(err)
				}
			}()
			if !known {
				done := make(chan bool)
				_ = s.loops[0].Post(func() { s.loops[0].Drive().ForgetSelf(); close(done) })
				<-done
			}
			conn, _, err := websocket.DefaultDialer.Dial("ws://"+s.Addrs()[0].String()+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for _, text := range []string{"a", "b", "end"} {
				if err := conn.WriteMessage(websocket.TextMessage, []byte(text)); err != nil {
					t.Fatal(err)
				}
			}
			for _, text := range []string{"a", "b", "end"} {
				for _, word := range []string{"one ", "two ", "three "} {
					if _, got, err := conn.ReadMessage(); err != nil || string(got) != word+text {
						t.Fatalf("got %q, error %v; want %q", got, err, word+text)
					}
				}
			}
			if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseNormalClosure) {
				t.Errorf("got error %v, want close 1000", err)
			}
		})
	}
}
