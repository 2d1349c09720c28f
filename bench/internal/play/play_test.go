//go:build linux

package play

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/usher-ws/usher/bench/internal/load"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is for what happens at once on a machine that has nothing else to do.
const patience = time.Hour // the limit is the test binary's own

// serve runs a server, gorilla's, that gives every connection to handle, and
// returns where it is. The test's end waits for all of them.
func serve(t *testing.T, handle func(conn *websocket.Conn)) load.Target {
	t.Helper()
	var all sync.WaitGroup
	t.Cleanup(all.Wait) // after the server has closed: then nobody comes any more
	upgrader := websocket.Upgrader{}
	return serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		all.Add(1)
		defer all.Done()
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		handle(conn)
	})
}

func serveHTTP(t *testing.T, handle http.HandlerFunc) load.Target {
	t.Helper()
	s := httptest.NewServer(handle)
	t.Cleanup(s.Close)
	return at(s.Listener)
}

func at(ln net.Listener) load.Target {
	addr := ln.Addr().(*net.TCPAddr).AddrPort()
	return load.Target{Addr: netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()), Host: addr.String(), Path: "/"}
}

// echo sends back what comes, until the connection ends.
func echo(conn *websocket.Conn) {
	for {
		kind, data, err := conn.ReadMessage()
		if err != nil || conn.WriteMessage(kind, data) != nil {
			return
		}
	}
}

// player is what all of them are.
type player interface {
	load.Player
	Start()
	Stop()
	Pending() int
}

// game is a client with its player, and the account so far.
type game struct {
	t      *testing.T
	client *load.Client
	player player
	tally  load.Tally
}

// begin makes a client. It is closed before the servers are.
func begin(t *testing.T, cfg load.Config, made func(*load.Client) player) *game {
	t.Helper()
	g := &game{t: t}
	cfg.Timeout = patience
	var err error
	g.client, err = load.New(cfg, func(c *load.Client) load.Player {
		g.player = made(c)
		return g.player
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.client.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// do runs f on the loop.
func (g *game) do(f func()) {
	g.t.Helper()
	if err := g.client.Do(f); err != nil {
		g.t.Fatal(err)
	}
}

// open dials all connections and waits for them.
func (g *game) open() {
	g.t.Helper()
	g.do(func() {
		for i := range g.client.Conns() {
			g.client.Dial(i)
		}
	})
	g.await("open connections", func() bool { return g.client.Open() == g.client.Conns() && g.player.Pending() == 0 })
}

// await returns when done, which is asked on the loop, says so.
func (g *game) await(what string, done func() bool) {
	g.t.Helper()
	limit := time.Now().Add(patience)
	for ok := false; !ok; {
		g.do(func() {
			part := g.client.Take()
			g.tally.Append(&part)
			ok = done()
		})
		if !ok && time.Now().After(limit) {
			g.t.Fatalf("waited for %s: got %+v", what, g.tally)
		}
	}
}

// over stops the player and waits for what is under way.
func (g *game) over() {
	g.t.Helper()
	g.do(g.player.Stop)
	g.await("the last answers", func() bool { return g.player.Pending() == 0 })
}

// want fails the test unless exactly these faults were counted.
func (g *game) want(faults load.Faults) {
	g.t.Helper()
	for f, n := range faults {
		if got := g.tally.Faults[f]; got != n {
			g.t.Errorf("%v: got %d, want %d", f, got, n)
		}
	}
	if got, want := g.tally.Faults.Total(), faults.Total(); got != want {
		g.t.Errorf("faults: got %v, want %v", g.tally.Faults, faults)
	}
}

// isTimeout reports whether a write was given up.
func isTimeout(err error) bool { return os.IsTimeout(err) }
