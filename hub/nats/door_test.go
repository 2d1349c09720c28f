//go:build linux

package nats

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/usher-ws/usher/hub"
	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/server"
)

// door is where members of a hub come in.
type door struct {
	t      testing.TB
	hub    *hub.Hub
	addr   string
	opened chan server.Conn
	users  int
}

// newHouseFor runs a server for a hub until the test ends.
func newHouseFor(t testing.TB, h *hub.Hub) *door {
	t.Helper()
	d := &door{t: t, hub: h, opened: make(chan server.Conn, 1)}
	s := &server.Server{Addr: "127.0.0.1:0", Loops: 2, MaxBacklog: 8 << 20, Logger: slog.New(slog.DiscardHandler)}
	s.Route("/", server.Route{Open: func(c server.Conn) error { d.opened <- c; return nil }})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // there is nobody left to be polite to
		_ = s.Shutdown(ctx)
		if err := s.Wait(); err != nil {
			t.Errorf("Wait: %v", err)
		}
	})
	d.addr = s.Addrs()[0].String()
	return d
}

// join makes a user a member of a topic, and calls hear with all that it hears, on a goroutine
// of its own.
func (d *door) join(topic string, hear func(text string)) {
	d.t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+d.addr+"/", nil)
	if err != nil {
		d.t.Fatal(err)
	}
	d.users++
	if _, err := d.hub.Join(topic, fmt.Sprint("user", d.users), <-d.opened); err != nil {
		d.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			_, b, err := ws.ReadMessage()
			if err != nil {
				return
			}
			hear(string(b))
		}
	}()
	d.t.Cleanup(func() {
		ws.Close()
		<-ended
	})
}

// write returns a file with a text in it.
func write(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
