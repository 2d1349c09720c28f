//go:build linux

package play

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/usher-ws/usher/bench/internal/load"
)

func echoes(cfg EchoConfig) func(*load.Client) player {
	return func(c *load.Client) player { return NewEcho(c, cfg) }
}

// TestEcho: in a closed loop, what is sent comes back once, and each answer has a
// latency.
func TestEcho(t *testing.T) {
	for _, cfg := range []EchoConfig{{Size: 0}, {Size: 5, InFlight: 3}, {Size: 20, Text: true}, {Size: 70_000, InFlight: 2}} {
		var seen atomic.Int64
		target := serve(t, func(conn *websocket.Conn) {
			for {
				kind, data, err := conn.ReadMessage()
				if err != nil {
					return
				}
				seen.Add(1)
				if text := kind == websocket.TextMessage; text != cfg.Text || len(data) != cfg.Size {
					t.Errorf("%+v: got a message of %d bytes, text: %v", cfg, len(data), text)
				}
				if conn.WriteMessage(kind, data) != nil {
					return
				}
			}
		})
		g := begin(t, load.Config{Conns: 3, Targets: []load.Target{target}}, echoes(cfg))
		g.open()
		g.do(g.player.Start)
		g.await("100 echoes", func() bool { return g.tally.Received >= 100 })
		g.over()
		n := uint64(seen.Load())
		if g.tally.Sent != n || g.tally.Received != n || g.tally.Latency.Count() != int(n) || g.tally.Late.Count() != 0 {
			t.Errorf("%+v: the server saw %d, got %d sent, %d received, %d latencies", cfg, n, g.tally.Sent, g.tally.Received, g.tally.Latency.Count())
		}
		g.want(nil)
	}
}

// TestEchoFew: with Touch everybody echoes once; of the others only the active
// speak.
func TestEchoFew(t *testing.T) {
	const active = 2
	target := serve(t, echo)
	g := begin(t, load.Config{Conns: 5, Targets: []load.Target{target}}, echoes(EchoConfig{Size: 20, Touch: true, Active: active}))
	g.open()
	if g.tally.Received != active || g.tally.Sent != active {
		t.Errorf("got %d echoes of %d, want one for each of the %d active", g.tally.Received, g.tally.Sent, active)
	}
	g.want(nil)
}

// TestEchoPlan: an open loop goes on when the server stands still, whatever may be
// in flight, and what waited counts from when it was due.
func TestEchoPlan(t *testing.T) {
	const interval = 2 * time.Millisecond
	for _, inFlight := range []int{1, 1000} {
		release := make(chan bool)
		target := serve(t, func(conn *websocket.Conn) {
			<-release
			echo(conn)
		})
		g := begin(t, load.Config{Conns: 1, Targets: []load.Target{target}},
			echoes(EchoConfig{Size: 20, InFlight: inFlight, Rate: float64(time.Second / interval), Timeout: patience}))
		g.open()
		g.do(g.player.Start)
		const due = 20
		g.await("messages that are due", func() bool { return g.player.Pending() >= due })
		sent := int(g.tally.Sent)
		if want := min(inFlight, due); sent < want || inFlight == 1 && sent != 1 {
			t.Errorf("%d in flight: got %d sent while the server stood still, want at least %d", inFlight, sent, want)
		}
		close(release)
		g.over()
		// The first of twenty waited for nineteen intervals at the least, the second for
		// eighteen, and so on.
		if got := g.tally.Latency.Max(); got < (due-1)*interval {
			t.Errorf("%d in flight: got a maximum of %v, want at least %v", inFlight, got, (due-1)*interval)
		}
		if got := int(g.tally.Received); got < due || got != int(g.tally.Sent) {
			t.Errorf("%d in flight: got %d echoes of %d, want at least %d", inFlight, got, g.tally.Sent, due)
		}
		// Late is what the client alone is to blame for.
		if got := g.tally.Late.Count(); inFlight == 1 && got > int(g.tally.Sent)-due+1 || inFlight > 1 && got != int(g.tally.Sent) {
			t.Errorf("%d in flight: got %d that the client sent late or not, of %d", inFlight, got, g.tally.Sent)
		}
		g.want(nil)
	}
}

// TestEchoGiveUp: a connection without an answer in time leaves, and all it asked is counted.
func TestEchoGiveUp(t *testing.T) {
	target := serve(t, func(conn *websocket.Conn) { // reads and says nothing
		for {
			if _, _, err := conn.ReadMessage(); err != nil {
				return
			}
		}
	})
	g := begin(t, load.Config{Conns: 2, Targets: []load.Target{target}}, echoes(EchoConfig{Size: 20, InFlight: 3, Timeout: time.Millisecond}))
	g.open()
	g.do(g.player.Start)
	g.await("the end of their patience", func() bool { return g.client.Open() == 0 && g.player.Pending() == 0 })
	g.want(load.Faults{{Kind: load.Unanswered}: 6})
}

// TestEchoAgain: a plan that is begun again begins anew, also for a connection that was away.
func TestEchoAgain(t *testing.T) {
	target := serve(t, echo)
	g := begin(t, load.Config{Conns: 2, Targets: []load.Target{target}}, echoes(EchoConfig{Size: 20, InFlight: 10, Rate: 1000, Timeout: patience}))
	g.open()
	for round := range 3 {
		before := g.tally.Received
		g.do(g.player.Start)
		g.await("echoes", func() bool { return g.tally.Received >= before+20 })
		g.over()
		g.do(func() {
			if round == 1 {
				g.client.Hang(1)
				g.client.Dial(1)
			}
		})
		g.await("both", func() bool { return g.client.Open() == 2 })
	}
	if g.tally.Received != g.tally.Sent {
		t.Errorf("got %d echoes of %d", g.tally.Received, g.tally.Sent)
	}
	g.want(nil)
}
