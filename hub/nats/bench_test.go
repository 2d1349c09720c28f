//go:build linux

package nats

import (
	"context"
	"log/slog"
	"syscall"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub"
	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/server"
)

const (
	audience = 1000 // members of each room
	inARow   = 8    // messages in a room, before it is the other's turn
)

var halves = []string{"local", "remote"}

// BenchmarkThroughNATS measures what a message to a room of 1,000 costs this process: said here,
// in a hub without a broker, and said at another node. Both come by turns. The members, the
// other node and the server are other processes, whose work does not count.
func BenchmarkThroughNATS(b *testing.B) {
	nc := serveNATS(b)
	local, remote := &hub.Hub{}, &hub.Hub{Broker: nc.connect(Config{Node: "here"})}
	addr := serveHubs(b, map[string]*hub.Hub{"local": local, "remote": remote})
	run(b, "crowd", addr).next(b)
	other := run(b, "speaker", nc.url)
	heard := make(chan struct{}, inARow)
	for _, room := range halves {
		listenTo(b, addr, room, func() { heard <- struct{}{} })
	}
	settle(b, remote.Broker.(*Broker))
	text := make([]byte, 100)
	sayLocal := func() { _ = local.Publish("lobby", frame.OpText, text) }
	sayRemote := func() { other.tell(b) }
	measure := func(say func()) time.Duration {
		before := processorTime(b)
		for range inARow {
			say()
			<-heard
		}
		return processorTime(b) - before
	}
	measure(sayLocal)
	measure(sayRemote)
	var atHome, through time.Duration
	n := 0
	for b.Loop() {
		atHome += measure(sayLocal)
		through += measure(sayRemote)
		n += inARow * audience
	}
	b.ReportMetric(float64(atHome)/float64(n), "ns-local/delivery")
	b.ReportMetric(float64(through)/float64(n), "ns-nats/delivery")
	b.ReportMetric(float64(through)/float64(atHome), "nats/local")
	b.ReportMetric(0, "ns/op")
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// serveHubs serves hubs by the first part of a path until the benchmark ends.
func serveHubs(b *testing.B, hubs map[string]*hub.Hub) (addr string) {
	s := &server.Server{Addr: "127.0.0.1:0", Loops: 1, MaxBacklog: 8 << 20, Logger: slog.New(slog.DiscardHandler)}
	s.Route("/{room}/{user}", server.Route{Open: func(c server.Conn) error {
		_, err := hubs[c.PathValue("room")].Join("lobby", c.PathValue("user"), c)
		return err
	}})
	if err := s.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // there is nobody left to be polite to
		_ = s.Shutdown(ctx)
		_ = s.Wait()
	})
	return s.Addrs()[0].String()
}

// listenTo joins a room and calls heard with each message.
func listenTo(b *testing.B, addr, room string, heard func()) {
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/"+room+"/witness", nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ws.Close() })
	go func() {
		for {
			if _, _, err := ws.ReadMessage(); err != nil {
				return
			}
			heard()
		}
	}()
}
