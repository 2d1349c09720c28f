//go:build linux

package play

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gorilla/websocket"
	"github.com/usher-ws/usher/bench/internal/load"
)

// TestDoor: in and out, as often as the server saw it, with a close frame.
func TestDoor(t *testing.T) {
	var in, goodbyes atomic.Int64
	target := serve(t, func(conn *websocket.Conn) {
		in.Add(1)
		if _, _, err := conn.ReadMessage(); websocket.IsCloseError(err, websocket.CloseNormalClosure) {
			goodbyes.Add(1)
		}
	})
	g := begin(t, load.Config{Conns: 4, Targets: []load.Target{target}}, func(c *load.Client) player { return NewDoor(c, false) })
	g.do(g.player.Start)
	g.await("20 handshakes", func() bool { return g.tally.Received >= 20 })
	g.over()
	if n := uint64(in.Load()); g.tally.Received != n || g.tally.Opened != n || g.tally.Latency.Count() != int(n) || goodbyes.Load() != in.Load() {
		t.Errorf("the server saw %d, %d of them to their end; got %d of %d", n, goodbyes.Load(), g.tally.Received, g.tally.Opened)
	}
	g.want(nil)
}

// TestDoorRefused: clients that are told why, that are not, and that should not be in.
func TestDoorRefused(t *testing.T) {
	var k, bodies, bare, letIn atomic.Int64
	upgrader := websocket.Upgrader{}
	target := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		switch k.Add(1) % 3 {
		case 0:
			bodies.Add(1)
			http.Error(w, "no", http.StatusForbidden)
		case 1:
			bare.Add(1)
			w.WriteHeader(http.StatusForbidden)
		default:
			letIn.Add(1)
			if conn, err := upgrader.Upgrade(w, r, nil); err == nil {
				_, _, _ = conn.ReadMessage()
				conn.Close()
			}
		}
	})
	g := begin(t, load.Config{Conns: 3, Targets: []load.Target{target}}, func(c *load.Client) player { return NewDoor(c, true) })
	g.do(g.player.Start)
	g.await("30 refusals", func() bool { return g.tally.Received >= 30 })
	g.over()
	refused := int(bodies.Load() + bare.Load())
	if int(g.tally.Received) != refused || int64(g.tally.Bodies) != bodies.Load() {
		t.Errorf("got %d refusals, %d with a body, want %d and %d", g.tally.Received, g.tally.Bodies, refused, bodies.Load())
	}
	g.want(load.Faults{{Kind: load.Refused, Code: 403}: refused, {Kind: load.LetIn}: int(letIn.Load())})
}

// room is a server that sends what one says to all, a batch at a time.
type room struct {
	mu      sync.Mutex // guards what follows
	members map[*websocket.Conn]bool
	batch   [][]byte
	most    int // messages that were waiting at once
}

func (r *room) join(conn *websocket.Conn, size int) {
	r.mu.Lock()
	r.members[conn] = true
	r.mu.Unlock()
	for {
		_, data, err := conn.ReadMessage()
		if err != nil {
			r.mu.Lock()
			delete(r.members, conn)
			r.mu.Unlock()
			return
		}
		r.mu.Lock()
		r.batch = append(r.batch, data)
		r.most = max(r.most, len(r.batch))
		full := len(r.batch) == size
		r.mu.Unlock()
		if full {
			r.deliver()
		}
	}
}

func (r *room) deliver() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.batch {
		for c := range r.members {
			_ = c.WriteMessage(websocket.BinaryMessage, m)
		}
	}
	r.batch = nil
}

// TestFanout: there are as many messages under way as the window allows, never
// more, and each reaches every member once.
func TestFanout(t *testing.T) {
	const window, members = 3, 4
	r := &room{members: make(map[*websocket.Conn]bool)}
	target := serve(t, func(conn *websocket.Conn) { r.join(conn, window) })
	g := begin(t, load.Config{Conns: members + 1, Targets: []load.Target{target}}, func(c *load.Client) player {
		return NewFanout(c, FanoutConfig{Size: 64, Window: window, Timeout: patience})
	})
	g.open()
	g.await("all in the room", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return len(r.members) == members+1 })
	g.do(g.player.Start)
	g.await("deliveries", func() bool { return g.tally.Received >= 20*window*members })
	g.do(g.player.Stop)
	// Of the last batch there may be only a part.
	g.await("the last batch", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return g.player.Pending() == len(r.batch)
	})
	r.deliver()
	g.await("the rest", func() bool { return g.player.Pending() == 0 })
	if r.most != window {
		t.Errorf("under way at once: got %d, want %d", r.most, window)
	}
	if g.tally.Received != g.tally.Sent*members || g.tally.Last.Count() != int(g.tally.Sent) || g.tally.Latency.Count() != int(g.tally.Received) {
		t.Errorf("got %d deliveries of %d messages, %d that reached all", g.tally.Received, g.tally.Sent, g.tally.Last.Count())
	}
	g.want(nil)
}
