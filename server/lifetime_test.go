//go:build linux

package server

import (
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/websocket"
)

// TestMaxLifetime: a connection ends when it has been there long enough, whatever it does, and
// also while it is not read from.
func TestMaxLifetime(t *testing.T) {
	s := &Server{Loops: 1, MaxLifetime: 200 * time.Millisecond}
	s.Route("/", Route{Message: func(c Conn, m Message) error { return c.Send(m.Opcode, m.Data) }})
	addr := start(t, s)
	c := dial(t, addr, "/")
	for {
		if c.WriteMessage(websocket.TextMessage, []byte("x")) != nil {
			break
		}
		if _, _, err := c.ReadMessage(); err != nil {
			if err.Error() != "websocket: close 1001 max_lifetime" {
				t.Errorf("got %v", err)
			}
			break
		}
	}
	eventually(t, "it has gone", func() bool { return s.total() == 0 })
	if n := s.Stats().Total.Closes["1001"]; n != 1 {
		t.Errorf("%d closes are counted", n)
	}
}

// TestLifetimes: those that come together do not go together, and ticks come round.
func TestLifetimes(t *testing.T) {
	s := &Server{MaxLifetime: time.Hour}
	all := make(map[time.Duration]bool)
	for range 100 {
		life := s.lifetime()
		if all[life] = true; life > time.Hour || life < 54*time.Minute {
			t.Errorf("got %v", life)
		}
	}
	if len(all) < 50 {
		t.Errorf("of 100 lifetimes %d are different", len(all))
	}
	if got := new(Server).lifetime(); got != 0 {
		t.Errorf("without a MaxLifetime: got %v", got)
	}
	var e ends
	e.begin(1, 0)
	e.begin(2, 5)
	e.begin(3, 1<<32-2)
	for _, tt := range []struct {
		slot, tick uint32
		want       bool
	}{{1, 1 << 30, false}, {2, 4, false}, {2, 5, true}, {2, 9, true}, {3, 1<<32 - 3, false}, {3, 1<<32 - 2, true}, {3, 7, true}} {
		if got := e.isOver(tt.slot, tt.tick); got != tt.want {
			t.Errorf("%d at %d: got %t", tt.slot, tt.tick, got)
		}
	}
}
