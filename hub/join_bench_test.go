//go:build linux

package hub

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/server"
)

// BenchmarkJoin: a member that joins a topic of 4,000, with a history, hears that it is in, and
// leaves again.
func BenchmarkJoin(b *testing.B) {
	const crowd = 4000
	h := &Hub{
		Dialects: 2, LeaveGrace: 2 * time.Second, GatherAbove: 200, History: 50, MaxTopicsPerUser: 100,
		ReplayRate: limiter.Rate{Limit: 1e9, Burst: 1e6},
		Announce: func(m Move) (frame.Opcode, Encoder) {
			return frame.OpText, func(int) []byte { return []byte(m.User) }
		},
	}
	opened := make(chan server.Conn)
	s := &server.Server{Addr: "127.0.0.1:0", Loops: 2, Logger: slog.New(slog.DiscardHandler)}
	s.Route("/", server.Route{Open: func(c server.Conn) error { opened <- c; return nil }})
	if err := s.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // there is nobody left to be polite to
		_ = s.Shutdown(ctx)
	}()
	var last server.Conn
	for k := range crowd {
		c, err := net.Dial("tcp", s.Addrs()[0].String())
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		go func() { // takes what is said
			var buf [4096]byte
			for {
				if _, err := c.Read(buf[:]); err != nil {
					return
				}
			}
		}()
		last = <-opened
		if k < crowd-1 {
			if _, err := h.Join("lobby", fmt.Sprint("user-", k), last); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		m, err := h.Join("lobby", "alice", last)
		if err != nil {
			b.Fatal(err)
		}
		m.Leave()
	}
	b.StopTimer()
}
