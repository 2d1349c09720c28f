//go:build linux

package nats

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub"
	"github.com/usher-ws/usher/internal/websocket"
	"github.com/usher-ws/usher/server"
)

// lobby is a hub of a node, whose members are all in one topic.
type lobby struct {
	*hub.Hub
	server *server.Server
}

// openLobby runs the hub of a node until stop is called.
func openLobby(b *Broker) (l *lobby, stop func() error, err error) {
	h := &hub.Hub{Broker: b, LeaveGrace: 50 * time.Millisecond}
	h.Announce = func(m hub.Move) (frame.Opcode, hub.Encoder) {
		text := "+" + m.User
		if m.Left > 0 {
			text = "-" + m.User
		}
		return frame.OpText, func(int) []byte { return []byte(text) }
	}
	s := &server.Server{Addr: "127.0.0.1:0", Loops: 1, Logger: slog.New(slog.DiscardHandler)}
	s.Route("/{user}", server.Route{Open: func(c server.Conn) error {
		_, err := h.Join("lobby", c.PathValue("user"), c)
		return err
	}})
	if err := s.Start(); err != nil {
		return nil, nil, err
	}
	return &lobby{h, s}, func() error {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // there is nobody left to be polite to
		_ = s.Shutdown(ctx)
		return s.Wait()
	}, nil
}

// open runs the hub of a node until the test ends.
func open(t *testing.T, b *Broker) *lobby {
	t.Helper()
	l, stop, err := openLobby(b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// enter lets a user join.
func (l *lobby) enter(user string) (*websocket.Conn, error) {
	ws, _, err := websocket.DefaultDialer.Dial(fmt.Sprintf("ws://%s/%s", l.server.Addrs()[0], user), nil)
	return ws, err
}

// guest is a user, and what it hears.
type guest struct {
	user string
	ws   *websocket.Conn
	mu   sync.Mutex
	all  []string
}

func (l *lobby) guest(t *testing.T, user string) *guest {
	t.Helper()
	ws, err := l.enter(user)
	if err != nil {
		t.Fatal(err)
	}
	g := &guest{user: user, ws: ws}
	var listening sync.WaitGroup
	listening.Go(func() {
		for {
			_, b, err := ws.ReadMessage()
			if err != nil {
				return
			}
			g.mu.Lock()
			g.all = append(g.all, string(b))
			g.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		ws.Close()
		listening.Wait()
	})
	return g
}

// heard returns what was said of a user.
func (g *guest) heard(user string) (all string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, text := range g.all {
		if text[1:] == user {
			all += text[:1]
		}
	}
	return all
}

// wantTurns checks that users came and went by turns. A machine so busy that a node says nothing
// for seconds may cause more of them.
func (g *guest) wantTurns(t *testing.T, users ...string) {
	t.Helper()
	for _, user := range users {
		if of := g.heard(user); strings.Contains(of, "++") || strings.Contains(of, "--") {
			t.Errorf("%s: of %s %q, want turns", g.user, user, of)
		}
	}
}

// awaitUsers waits until a lobby has these users, as far as it knows.
func (l *lobby) awaitUsers(t *testing.T, want ...string) {
	t.Helper()
	await(t, fmt.Sprint("the users are ", want), func() bool {
		topic := l.Topic("lobby")
		if topic == nil {
			return false
		}
		var names []string
		some, _ := topic.Presence(100)
		for _, p := range some {
			names = append(names, p.User)
		}
		return slices.Equal(names, want)
	})
}

// childHub is a node with a hub, and alice and kim in it.
func childHub(url string) {
	l, _, err := openLobby(childConnect(url))
	if err != nil {
		panic(err)
	}
	for _, user := range []string{"alice", "kim"} {
		ws, err := l.enter(user)
		if err != nil {
			panic(err)
		}
		go func() {
			for err == nil {
				_, _, err = ws.ReadMessage()
			}
		}()
	}
	_, _ = os.Stdout.Write([]byte{1})
	select {}
}

// TestPresenceOfTheKilled: users are announced once in the cluster; those of a node that is stopped
// leave, and come back with it; those of one that is killed leave for good, unless they are
// elsewhere.
func TestPresenceOfTheKilled(t *testing.T) {
	s := serveNATS(t)
	north, south := open(t, s.connect(Config{Node: "north"})), open(t, s.connect(Config{Node: "south"}))
	alice, bob := north.guest(t, "alice"), south.guest(t, "bob")
	south.guest(t, "carol")
	for _, l := range []*lobby{north, south} {
		l.awaitUsers(t, "alice", "bob", "carol")
	}
	other := run(t, "hub", s.url)
	other.next(t)
	for _, l := range []*lobby{north, south} {
		l.awaitUsers(t, "alice", "bob", "carol", "kim")
	}
	other.signal(t, syscall.SIGSTOP)
	for _, l := range []*lobby{north, south} {
		l.awaitUsers(t, "alice", "bob", "carol")
	}
	other.signal(t, syscall.SIGCONT)
	for _, l := range []*lobby{north, south} {
		l.awaitUsers(t, "alice", "bob", "carol", "kim")
	}
	if silent := north.Topic("lobby").Silent(); len(silent) > 0 {
		t.Errorf("silent: got %q, want none", silent)
	}
	other.signal(t, syscall.SIGKILL)
	killed := time.Now()
	for _, l := range []*lobby{north, south} {
		l.awaitUsers(t, "alice", "bob", "carol")
	}
	t.Logf("it took %v until the users of a node that was killed had left", time.Since(killed))
	for _, g := range []*guest{alice, bob} {
		await(t, "all is heard", func() bool { return strings.HasSuffix(g.heard("kim"), "+-+-") })
		g.wantTurns(t, "alice", "bob", "carol", "kim")
	}
}

// TestPresenceOfTheSplit: each part of a cluster sees the other's users leave, and come back.
func TestPresenceOfTheSplit(t *testing.T) {
	const cluster = "cluster { name: usher, listen: 127.0.0.1:-1, pool_size: -1%s }\n"
	one := serveNATS(t, "-c", write(t, fmt.Sprintf(cluster, "")))
	w := lay(t, strings.TrimPrefix(one.cluster, "nats://"))
	two := serveNATS(t, "-c", write(t, fmt.Sprintf(cluster, ", routes: [nats://"+w.Addr().String()+"]")))
	brokers := []*Broker{one.connect(Config{Node: "north"}), one.connect(Config{Node: "west"}), two.connect(Config{Node: "south"})}
	meet(t, brokers...)
	var all []*lobby
	var guests []*guest
	for i, user := range []string{"alice", "bob", "carol"} {
		l := open(t, brokers[i])
		all = append(all, l)
		guests = append(guests, l.guest(t, user))
		l.guest(t, "dora") // everywhere
	}
	for _, l := range all {
		l.awaitUsers(t, "alice", "bob", "carol", "dora")
	}
	w.set(true)
	all[0].awaitUsers(t, "alice", "bob", "dora")
	all[1].awaitUsers(t, "alice", "bob", "dora")
	all[2].awaitUsers(t, "carol", "dora")
	guests = append(guests, all[2].guest(t, "eve"))
	w.set(false)
	for _, l := range all {
		l.awaitUsers(t, "alice", "bob", "carol", "dora", "eve")
	}
	for _, g := range guests[:2] {
		await(t, "all is heard", func() bool {
			return strings.HasSuffix(g.heard("carol"), "-+") && strings.HasSuffix(g.heard("eve"), "+")
		})
		g.wantTurns(t, "alice", "bob", "carol", "dora", "eve")
	}
}
