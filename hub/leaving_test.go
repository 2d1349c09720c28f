//go:build linux

package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/websocket"

	"github.com/usher-ws/usher/server"
)

// TestTheHubLeavesByItself: of a connection that ends without Leave nothing stays in any
// of its topics, and the others are told.
func TestTheHubLeavesByItself(t *testing.T) {
	var r moves
	home := serve(t, &Hub{Moved: r.record, Dialects: 2, MaxTopicsPerUser: 3})
	host, _ := home.join("lobby", "host")
	alice, c := home.join("lobby", "alice")
	home.bring(c, "attic", "alice")
	tab := home.dial()
	if _, err := home.JoinAs("lobby", "alice", 1, tab.Conn); err != nil {
		t.Fatal(err)
	}
	r.take()
	home.vanish(c, "lobby", "attic")
	if name, here := host.Topic().User("alice"); !here || home.Len() != 1 {
		t.Errorf("of two tabs one ended: got %q, %v in %d topics, want alice in 1", name, here, home.Len())
	}
	r.want(t)
	home.vanish(tab, "lobby")
	r.await(t, 1)
	r.want(t, Move{User: "alice", Left: 1, Count: 1})
	if alice.Leave() {
		t.Error("Leave when the hub has done that: got true, want false")
	}
	home.mu.Lock()
	defer home.mu.Unlock()
	topic := host.Topic()
	if topic.users.Len() != 1 || topic.conns.Len() != 1 || home.places("alice") != 0 {
		t.Errorf("there are %d users, %d connections, %d places of alice; want the host and none", topic.users.Len(), topic.conns.Len(), home.places("alice"))
	}
	if n := topic.voices[0].members.Load() + topic.voices[1].members.Load(); n != 1 {
		t.Errorf("%d members hear the topic, want 1", n)
	}
}

// TestGraceOfTheGone: a user whose connection ends stays for the grace, as if it had left.
func TestGraceOfTheGone(t *testing.T) {
	var r moves
	home := serve(t, &Hub{Moved: r.record, LeaveGrace: 20 * time.Millisecond})
	home.join("lobby", "host")
	_, c := home.join("lobby", "alice")
	began := time.Now()
	home.vanish(c, "lobby")
	r.await(t, 3)
	if took := time.Since(began); took < home.LeaveGrace {
		t.Errorf("gone after %v, want %v at least", took, home.LeaveGrace)
	}
}

// TestLeaveInClose: a Close callback finds its member in the topic, and may leave by itself.
func TestLeaveInClose(t *testing.T) {
	var r moves
	h := &Hub{Moved: r.record}
	joined, left := make(chan *Member, 1), make(chan bool, 2)
	addr, _ := serveRoute(t, server.Route{
		Open: func(c server.Conn) error {
			m, err := h.Join("lobby", c.PathValue("user"), c)
			joined <- m
			return err
		},
		Close: func(c server.Conn, _ error) {
			m := h.Member("lobby", c)
			left <- m.Leave()
			left <- m.Leave()
		},
	})
	dial := func(user string) *websocket.Conn {
		ws, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/"+user, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ws.Close() })
		<-joined
		return ws
	}
	host, alice := dial("host"), dial("alice")
	alice.Close()
	if first, second := <-left, <-left; !first || second {
		t.Errorf("Leave: got %v, then %v; want true and false", first, second)
	}
	host.Close()
	if first, second := <-left, <-left; first || second {
		t.Errorf("Leave of the last: got %v, then %v; want false", first, second)
	}
	r.want(t, Move{User: "host", Joined: 1, Count: 1}, Move{User: "alice", Joined: 1, Count: 2}, Move{User: "alice", Left: 1, Count: 1})
}

// serveRoute runs a server of one route, until the test ends or stop is called.
func serveRoute(t *testing.T, r server.Route) (addr string, stop func()) {
	t.Helper()
	s := &server.Server{Addr: "127.0.0.1:0", Loops: 2, Logger: slog.New(slog.DiscardHandler)}
	s.Route("/{user}", r)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Shutdown(ctx)
		if err := s.Wait(); err != nil {
			t.Errorf("Wait: %v", err)
		}
	})
	t.Cleanup(stop)
	return s.Addrs()[0].String(), stop
}

// TestJoinsOfTheEnding: connections end while other goroutines join them to topics, and the
// server ends while others still do: nothing stays in the table.
func TestJoinsOfTheEnding(t *testing.T) {
	h := &Hub{MaxTopicsPerUser: 100}
	opened := make(chan server.Conn, 1)
	addr, stop := serveRoute(t, server.Route{Open: func(c server.Conn) error { opened <- c; return nil }})
	var all sync.WaitGroup
	var over atomic.Bool
	for i := range 60 {
		ws, _, err := websocket.DefaultDialer.Dial("ws://"+addr+"/u", nil)
		if err != nil {
			t.Fatal(err)
		}
		c := <-opened
		t.Cleanup(func() { ws.Close() })
		all.Go(func() {
			for k := 0; !over.Load(); k++ {
				m, err := h.Join(fmt.Sprint("t", k%3), fmt.Sprint("u", i), c)
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if k%2 == 0 && m != nil {
					m.Leave()
				}
			}
		})
		if i < 40 {
			ws.Close()
		}
	}
	stop()
	over.Store(true)
	all.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.topics) != 0 || h.seats.Size() != 0 {
		t.Errorf("there are %d topics and %d bytes of seats, want none", len(h.topics), h.seats.Size())
	}
}

// TestJoinOfTheGone: a connection that cannot join leaves no trace.
func TestJoinOfTheGone(t *testing.T) {
	home := serve(t, new(Hub))
	c := home.dial()
	home.vanish(c)
	// The server may still be at the end of the connection, and take what it ignores.
	var err error
	for late := time.Now().Add(patience); err == nil && time.Now().Before(late); {
		var m *Member
		if m, err = home.Join("lobby", "alice", c.Conn); err == nil {
			m.Leave()
		}
	}
	if !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed Conn: got %v, want %v", err, net.ErrClosed)
	}
	if m, err := home.Join("lobby", "alice", server.Conn{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the zero Conn: got %v, %v, want %v", m, err, net.ErrClosed)
	}
	if got := home.Len(); got != 0 {
		t.Errorf("topics in use: got %d, want 0", got)
	}
}

// TestJoinTwice: a connection is in a topic once, and Hub.Member says as what.
func TestJoinTwice(t *testing.T) {
	home := serve(t, new(Hub))
	alice, c := home.join("lobby", "alice")
	for _, user := range []string{"alice", "bob"} {
		if m, err := home.Join("lobby", user, c.Conn); !errors.Is(err, errJoined) {
			t.Errorf("%s on the same connection: got %v, %v, want %v", user, m, err, errJoined)
		}
	}
	_, other := home.join("attic", "bob")
	if got := home.Member("lobby", c.Conn); got == nil || *got != *alice {
		t.Errorf("Member: got %v, want %v", got, alice)
	}
	if a, b := home.Member("lobby", other.Conn), home.Member("nowhere", c.Conn); a != nil || b != nil {
		t.Errorf("Member of no member, and of no topic: got %v, %v", a, b)
	}
	publish(t, alice, "1")
	alice.Leave()
	if got := home.Member("lobby", c.Conn); got != nil {
		t.Errorf("Member that has left: got %v", got)
	}
	c.wantHeard("1")
}
