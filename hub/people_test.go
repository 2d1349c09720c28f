//go:build linux

package hub

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// asUser is a guard for which every client is who its query says.
var asUser = upgrade.Guard{OnBeforeUpgrade: func(r *upgrade.Request) (http.Header, error) {
	if name := string(r.RawQuery()); name != "" {
		r.Identity = &upgrade.Identity{Subject: name, ExpiresAt: time.Now().Add(time.Hour)}
	}
	return nil, nil
}}

func TestTopics(t *testing.T) {
	home := serve(t, &Hub{LeaveGrace: time.Hour})
	alice, c := home.join("lobby", "alice")
	home.join("lobby", "alice")
	home.join("lobby", "bob")
	home.bring(c, "attic", "alice")
	alice.SetStatus("busy")
	if got := home.Topics(); !slices.Equal(got, []TopicInfo{{"attic", 1, 1, false}, {"lobby", 2, 3, false}}) {
		t.Errorf("Topics: got %v", got)
	}
	lobby := home.Topic("lobby")
	if lobby != alice.Topic() || home.Topic("cellar") != nil {
		t.Fatalf("Topic: got %p, want %p; and none of another name", lobby, alice.Topic())
	}
	home.Member("attic", c.Conn).Leave() // and is kept
	for _, tt := range []struct {
		topic, after string
		most         int
		want         []TopicUser
		total        int
	}{
		{"lobby", "", 10, []TopicUser{{"alice", "busy", 2}, {"bob", "", 1}}, 2},
		{"lobby", "", 1, []TopicUser{{"alice", "busy", 2}}, 2},
		{"lobby", "alice", 10, []TopicUser{{"bob", "", 1}}, 2},
		{"lobby", "bob", 10, []TopicUser{}, 2},
		{"lobby", "", 0, nil, 2},
		{"attic", "", 10, []TopicUser{{"alice", "", 0}}, 1},
	} {
		if got, total := home.Topic(tt.topic).Users(tt.after, tt.most); !slices.Equal(got, tt.want) || total != tt.total {
			t.Errorf("%s, %d after %q: got %v of %d, want %v of %d", tt.topic, tt.most, tt.after, got, total, tt.want, tt.total)
		}
	}
}

// All users are told of in parts, whatever their names.
func TestUsersInParts(t *testing.T) {
	home := serve(t, new(Hub))
	c := home.dial()
	var want []string
	rng := rand.New(rand.NewPCG(1, 1))
	m := home.bring(c, "lobby", "the first")
	for range 300 { // one connection is enough: others are put into the table as they would be
		name := fmt.Sprint("user ", rng.IntN(1_000_000))
		if !slices.Contains(want, name) {
			home.mu.Lock()
			home.seats.take(m.topic, name, name)
			home.mu.Unlock()
			want = append(want, name)
		}
	}
	want = append(want, "the first")
	slices.Sort(want)
	for _, most := range []int{1, 7, 100, 1000} {
		var got []string
		for after := ""; ; after = got[len(got)-1] {
			some, total := m.Topic().Users(after, most)
			if total != len(want) {
				t.Fatalf("%d in all, want %d", total, len(want))
			}
			for _, u := range some {
				got = append(got, u.Name)
			}
			if len(some) < most {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("in parts of %d: got %d, want %d", most, len(got), len(want))
		}
	}
	home.mu.Lock()
	for i := range slices.Values(slices.Collect(m.topic.users.All((*byUser)(&home.seats), 0))) {
		if !home.seats.isTaken(i) {
			home.seats.give(m.topic, i)
		}
	}
	home.mu.Unlock()
}

// TestJoinUser: those of the user's connections that are there and can be in topics are in it
// then, each once, in its own dialect, and behind what was recorded.
func TestJoinUser(t *testing.T) {
	home := serve(t, &Hub{Dialects: 2, History: 10, LeaveGrace: time.Hour, DialectOf: func(c server.Conn) (int, bool) {
		return len(c.PathValue("dialect")) - 1, c.Route() != "/"
	}, Announce: func(m Move) (frame.Opcode, Encoder) {
		return frame.OpText, spoken(fmt.Sprint(m.User, " +", m.Joined, " -", m.Left), fmt.Sprint(m.User, " plus ", m.Joined, " minus ", m.Left))
	}})
	host, ear := home.join("lobby", "host")
	recordAll(t, host, "en", "de")
	ear.heard()
	one, two, elsewhere, other := home.dialAs("/in/1", "alice"), home.dialAs("/in/22", "alice"), home.dialAs("/", "alice"), home.dialAs("/in/1", "bob")
	srv := one.Server()
	if n, err := home.JoinUser(context.Background(), "lobby", "nobody", srv); n != 0 || err != nil {
		t.Errorf("without connections: got %d, %v, want 0", n, err)
	}
	for range 2 {
		if n, err := home.JoinUser(context.Background(), "lobby", "alice", srv); n != 2 || err != nil {
			t.Errorf("got %d, %v, want 2", n, err)
		}
	}
	late := home.dialAs("/in/1", "alice")
	one.wantHeard("en", "alice +1 -0")
	two.wantHeard("de", "alice plus 1 minus 0")
	publishAll(t, host, "all", "alle")
	one.wantHeard("all")
	two.wantHeard("alle")
	for _, c := range []client{elsewhere, other, late} {
		c.wantHeard()
	}
	ear.wantHeard("alice +1 -0", "all")

	if n := home.LeaveUser("lobby", "alice"); n != 2 {
		t.Errorf("LeaveUser: got %d, want 2", n)
	}
	if n := home.LeaveUser("lobby", "alice") + home.LeaveUser("attic", "alice"); n != 0 {
		t.Errorf("LeaveUser again, and of no topic: got %d, want 0", n)
	}
	publishAll(t, host, "again", "wieder")
	one.wantHeard()
	two.wantHeard()
	ear.wantHeard("alice +0 -1", "again") // at once, whatever LeaveGrace says
	if some, total := home.Topic("lobby").Presence(10); total != 1 {
		t.Errorf("users: got %v, want the host alone", some)
	}
	if n, err := home.JoinUser(context.Background(), "attic", "alice", srv); n != 3 || err != nil {
		t.Errorf("another topic, with the connection that came late: got %d, %v, want 3", n, err)
	}
}

// What JoinUser cannot do it says.
func TestJoinUserFails(t *testing.T) {
	home := serve(t, &Hub{MaxTopics: 1, Key: strings.ToLower})
	home.join("lobby", "ALICE")
	alice := home.dialAs("/", "alice")
	for topic, want := range map[string]error{"lobby": ErrNameTaken, "attic": ErrTooManyTopics} {
		if n, err := home.JoinUser(context.Background(), topic, "alice", alice.Server()); n != 0 || !errors.Is(err, want) {
			t.Errorf("%s: got %d, %v, want %v", topic, n, err, want)
		}
	}
	got := make(chan error)
	if err := alice.Run(func(server.Conn) {
		_, err := home.JoinUser(context.Background(), "lobby", "alice", alice.Server())
		go func() { got <- err }()
	}); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, server.ErrOnLoop) {
		t.Errorf("in a callback: got %v, want %v", err, server.ErrOnLoop)
	}
}

// TestJoinUserIsHeldUp: a callback that holds up a loop keeps JoinUser no longer than its context
// lasts, and the user's connections on other loops join all the same; those that it has given up do
// not join later. LeaveUser waits for no loop.
func TestJoinUserIsHeldUp(t *testing.T) {
	home := serve(t, new(Hub))
	loop := func(c client) string { return strings.Split(c.ID(), "-")[1] }
	one := home.dialAs("/", "alice")
	two := home.dialAs("/", "alice")
	if loop(one) == loop(two) {
		t.Fatal("one loop has both") // a connection goes to the one with the fewest
	}
	hold := func() (release func()) {
		stuck, gate := make(chan bool), make(chan bool)
		if err := one.Run(func(server.Conn) { close(stuck); <-gate }); err != nil {
			t.Fatal(err)
		}
		<-stuck
		return func() { close(gate) }
	}
	release := hold()
	ctx, cancel := context.WithCancel(context.Background())
	got := make(chan error)
	go func() {
		n, err := home.JoinUser(ctx, "lobby", "alice", one.Server())
		if n != 1 {
			t.Errorf("got %d, want the one whose loop is free", n)
		}
		got <- err
	}()
	await(t, "one has joined", func() bool { return home.Member("lobby", two.Conn) != nil })
	cancel()
	if err := <-got; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	release()
	if n, err := home.JoinUser(context.Background(), "attic", "alice", one.Server()); n != 2 || err != nil {
		t.Errorf("later: got %d, %v, want 2", n, err)
	}
	if home.Member("lobby", one.Conn) != nil {
		t.Error("a connection has joined that was given up")
	}
	defer hold()()
	if n := home.LeaveUser("attic", "alice"); n != 2 {
		t.Errorf("LeaveUser: got %d, want 2", n)
	}
}

func publishAll(t *testing.T, m *Member, text ...string) {
	t.Helper()
	if err := m.Topic().PublishFunc(frame.OpText, spoken(text...)); err != nil {
		t.Errorf("PublishFunc(%q): %v", text, err)
	}
}
