//go:build linux

package hub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/websocket"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// patience is waited out only by tests that fail.
const patience = time.Hour // the limit is the test binary's own

// end is what until waits for.
const end = "(end)"

// house is a hub and a server of connections for it.
type house struct {
	*Hub
	t      *testing.T
	addr   string
	opened chan server.Conn
	closed chan server.Conn
}

// serve runs a server on a free port until the test ends. A connection joins
// nothing by itself.
func serve(t *testing.T, h *Hub) *house {
	t.Helper()
	home := &house{Hub: h, t: t, opened: make(chan server.Conn, 1), closed: make(chan server.Conn, 1024)}
	s := &server.Server{Addr: "127.0.0.1:0", Loops: 2, MaxBacklog: 8 << 20, Logger: slog.New(slog.DiscardHandler)}
	for _, path := range []string{"/", "/in/{dialect}"} {
		s.Route(path, server.Route{
			Guards: []upgrade.Guard{asUser},
			Open:   func(c server.Conn) error { home.opened <- c; return nil },
			Close:  func(c server.Conn, _ error) { home.closed <- c },
		})
	}
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
	home.addr = s.Addrs()[0].String()
	return home
}

// client is both ends of a connection: what the hub is given of it, and what its
// peer hears.
type client struct {
	server.Conn
	ws *websocket.Conn
	t  *testing.T
}

func (home *house) dial() client { home.t.Helper(); return home.dialAs("/", "") }

// dialAs is dial for a connection that the server knows as a user's, at a path.
func (home *house) dialAs(path, user string) client {
	home.t.Helper()
	ws, _, err := websocket.DefaultDialer.Dial("ws://"+home.addr+path+"?"+user, nil)
	if err != nil {
		home.t.Fatal(err)
	}
	home.t.Cleanup(func() { ws.Close() })
	return client{<-home.opened, ws, home.t}
}

// join makes a new connection of the user a member.
func (home *house) join(topic, user string) (*Member, client) {
	home.t.Helper()
	c := home.dial()
	return home.bring(c, topic, user), c
}

// bring makes a connection a member.
func (home *house) bring(c client, topic, user string) *Member {
	home.t.Helper()
	m, err := home.Join(topic, user, c.Conn)
	if err != nil {
		home.t.Fatalf("Join(%q, %q): %v", topic, user, err)
	}
	return m
}

func (c client) next() (string, error) {
	c.ws.SetReadDeadline(time.Now().Add(patience))
	_, b, err := c.ws.ReadMessage()
	return string(b), err
}

// heard returns what has come since the last time. What the calling goroutine has
// sent is in it: end goes the same way, behind it.
func (c client) heard() (all []string) {
	c.t.Helper()
	if err := c.Send(frame.OpText, []byte(end)); err != nil {
		c.t.Fatal(err)
	}
	for {
		got, err := c.next()
		if err != nil {
			c.t.Fatalf("after %q: %v", all, err)
		}
		if got == end {
			return all
		}
		all = append(all, got)
	}
}

// hearInOrder reads what several publish, "P N" being the Nth of publisher P: all of
// it, each in its order.
func (c client) hearInOrder(publishers, each int) {
	next := make([]int, publishers)
	for range publishers * each {
		text, err := c.next()
		var p, n int
		if _, scan := fmt.Sscan(text, &p, &n); err != nil || scan != nil || n != next[p] {
			c.t.Errorf("got %q, error %v; want one of %v", text, err, next)
			return
		}
		next[p]++
	}
}

func (c client) wantHeard(want ...string) {
	c.t.Helper()
	if got := c.heard(); !slices.Equal(got, want) {
		c.t.Errorf("heard: got %q, want %q", got, want)
	}
}

// vanish cuts a connection, and waits until it has left the topics.
func (home *house) vanish(c client, topics ...string) {
	home.t.Helper()
	c.ws.Close()
	<-home.closed
	for _, topic := range topics {
		await(home.t, "the hub has left", func() bool { return home.Member(topic, c.Conn) == nil })
	}
}

// await waits until something is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came that %s", what)
		}
	}
}

func publish(t *testing.T, m *Member, text string) {
	t.Helper()
	if err := m.Topic().Publish(frame.OpText, []byte(text)); err != nil {
		t.Errorf("Publish(%q): %v", text, err)
	}
}

func TestTopicLivesWhileItHasMembers(t *testing.T) {
	home := serve(t, new(Hub))
	alice, _ := home.join("lobby", "alice")
	bob, _ := home.join("lobby", "bob")
	if alice.Topic() != bob.Topic() || alice.Topic().Name() != "lobby" {
		t.Fatalf("alice is in %p %q, bob in %p; want one lobby", alice.Topic(), alice.Topic().Name(), bob.Topic())
	}
	for _, step := range []struct {
		name   string
		m      *Member
		others bool
		topics int
	}{
		{"alice", alice, true, 1},
		{"alice again", alice, false, 1},
		{"bob, the last", bob, false, 0},
		{"bob again", bob, false, 0},
	} {
		if others := step.m.Leave(); others != step.others || home.Len() != step.topics {
			t.Errorf("Leave of %s: got %v with %d topics in use, want %v with %d", step.name, others, home.Len(), step.others, step.topics)
		}
	}
	carol, ear := home.join("lobby", "carol")
	if carol.Topic() == bob.Topic() {
		t.Error("carol is in the topic that was forgotten")
	}
	publish(t, bob, "from the past")
	ear.wantHeard()
}

func TestMaxTopics(t *testing.T) {
	home := serve(t, &Hub{MaxTopics: 2})
	alice, bob := home.dial(), home.dial()
	home.bring(alice, "a", "alice")
	last := home.bring(alice, "b", "alice")
	if c, a := home.MayJoin("c", "alice"), home.MayJoin("a", "alice"); !errors.Is(c, ErrTooManyTopics) || a != nil {
		t.Errorf("MayJoin: got %v for a new topic and %v for one in use, want %v and none", c, a, ErrTooManyTopics)
	}
	if m, err := home.Join("c", "alice", alice.Conn); !errors.Is(err, ErrTooManyTopics) {
		t.Errorf("the third topic: got %v, %v, want %v", m, err, ErrTooManyTopics)
	}
	home.bring(bob, "a", "bob")
	last.Leave()
	if err := home.MayJoin("c", "alice"); err != nil {
		t.Errorf("MayJoin when a topic was forgotten: got %v", err)
	}
	home.bring(alice, "c", "alice")
	if got := home.Len(); got != 2 {
		t.Errorf("topics in use: got %d, want 2", got)
	}
}

// TestTable has many come to and go from few topics, so that topics are made and
// forgotten all the time: nobody may be in a topic that is not in the table, and
// nothing may stay.
func TestTable(t *testing.T) {
	home := serve(t, new(Hub))
	var all sync.WaitGroup
	for g := range 8 {
		user := fmt.Sprint("u", g%4) // some users twice
		a, b := home.dial(), home.dial()
		for _, c := range []client{a, b} { // somebody must read what they are sent
			all.Go(func() {
				for got := ""; got != end; {
					var err error
					if got, err = c.next(); err != nil {
						t.Errorf("%s: %v", user, err)
						return
					}
				}
			})
		}
		all.Go(func() {
			defer b.Send(frame.OpText, []byte(end))
			defer a.Send(frame.OpText, []byte(end))
			for i := range 200 {
				topic := fmt.Sprint("t", i%2)
				m, err := home.Join(topic, user, a.Conn)
				other, err2 := home.Join(topic, user, b.Conn)
				if err != nil || err2 != nil {
					t.Errorf("Join: %v, %v", err, err2)
					return
				}
				if m.Topic() != other.Topic() {
					t.Errorf("%s is in a %s that is forgotten", user, topic)
				}
				m.SetStatus("here")
				if n, err := m.Topic().Direct(user, frame.OpText, []byte("hi")); n < 2 || err != nil {
					t.Errorf("Direct to %s: got %d connections, error %v, want 2 or more", user, n, err)
				}
				if err := m.Topic().Publish(frame.OpText, []byte("hi")); err != nil {
					t.Errorf("Publish: %v", err)
				}
				if some, total := m.Topic().Presence(10); len(some) != total || !slices.Contains(some, Presence{user, "here"}) {
					t.Errorf("Presence: got %v of %d, want %s among them", some, total, user)
				}
				if !m.Leave() {
					t.Errorf("Leave of the first of %s: got false, want true", user)
				}
				other.Leave()
			}
		})
	}
	all.Wait()
	if got := home.Len(); got != 0 {
		t.Errorf("topics in use: got %d, want 0", got)
	}
}
