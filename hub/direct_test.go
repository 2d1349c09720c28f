//go:build linux

package hub

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/server"
)

// TestDirectFloodHurtsNobody: whoever floods the many connections of one user, those in other
// topics of the same loop hear all that they say, and nobody is closed.
func TestDirectFloodHurtsNobody(t *testing.T) {
	const victims, flooders, neighbours, each = 60, 6, 4, 25
	h := new(Hub)
	joined := make(chan bool, 1)
	s := &server.Server{
		Addr: "127.0.0.1:0", Loops: 1, MaxBacklog: 256 << 10, MaxBuffered: 2 << 20, // a mailbox of 256 KiB
		Logger: slog.New(slog.DiscardHandler),
	}
	s.Route("/{topic}/{user}", server.Route{
		Open: func(c server.Conn) error {
			m, err := h.Join(c.PathValue("topic"), c.PathValue("user"), c)
			c.SetData(m)
			joined <- true
			return err
		},
		Message: func(c server.Conn, m server.Message) error {
			of := c.Data().(*Member)
			if of.User() == "flooder" {
				_, _ = of.Topic().Direct("victim", m.Opcode, m.Data)
				return nil
			}
			return of.Topic().Publish(m.Opcode, m.Data)
		},
	})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Shutdown(ctx)
		_ = s.Wait()
	}()
	come := func(topic, user string) *websocket.Conn {
		ws, _, err := websocket.DefaultDialer.Dial(fmt.Sprintf("ws://%s/%s/%s", s.Addrs()[0], topic, user), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ws.Close() })
		_ = ws.SetReadDeadline(time.Now().Add(patience))
		<-joined
		return ws
	}
	var wg, flood sync.WaitGroup
	for range victims {
		ws := come("room", "victim")
		flood.Go(func() {
			for {
				if _, _, err := ws.ReadMessage(); err != nil {
					return
				}
			}
		})
	}
	over := make(chan bool)
	for range flooders {
		ws := come("room", "flooder")
		flood.Go(func() {
			for b := []byte(strings.Repeat("x", 200)); ; {
				select {
				case <-over:
					return
				default:
				}
				if ws.WriteMessage(websocket.TextMessage, b) != nil {
					return
				}
			}
		})
		flood.Go(func() {
			if _, _, err := ws.ReadMessage(); websocket.IsCloseError(err, websocket.CloseTryAgainLater) {
				t.Errorf("a flooder was closed with %v: it is to be slowed down", err)
			}
		})
	}
	for n := range neighbours {
		ws := come(fmt.Sprint("next", n), "neighbour")
		wg.Go(func() {
			for k := range each {
				want := fmt.Sprint(k)
				if err := ws.WriteMessage(websocket.TextMessage, []byte(want)); err != nil {
					t.Errorf("neighbour %d: %v", n, err)
					return
				}
				if _, got, err := ws.ReadMessage(); err != nil || string(got) != want {
					t.Errorf("neighbour %d: got %q, %v, want %q", n, got, err, want)
					return
				}
			}
		})
	}
	wg.Wait()
	close(over)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.Shutdown(ctx)
	flood.Wait()
}

// TestDirectIsEncodedOnce: however many connections a user has, in however many dialects.
func TestDirectIsEncodedOnce(t *testing.T) {
	h := &Hub{Dialects: 2}
	home := serve(t, h)
	var all []client
	for k := range 6 {
		c := home.dial()
		if _, err := h.JoinAs("lobby", "bob", k%2, c.Conn); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	asked := [2]int{}
	n, err := h.Member("lobby", all[0].Conn).Topic().DirectFunc("bob", frame.OpText, func(dialect int) []byte {
		asked[dialect]++
		return fmt.Append(nil, "dialect ", dialect)
	})
	if n != 6 || err != nil || asked != [2]int{1, 1} {
		t.Errorf("%d connections, %v, asked %v times", n, err, asked)
	}
	for k, c := range all {
		if got, err := c.next(); err != nil || got != fmt.Sprint("dialect ", k%2) {
			t.Errorf("connection %d: got %q, %v", k, got, err)
		}
	}
}
