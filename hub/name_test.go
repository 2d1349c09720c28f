//go:build linux

package hub

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

// TestNamesThatPassForEachOther: of two, one can be in a topic, also while only the grace
// keeps them there, and is found by either.
func TestNamesThatPassForEachOther(t *testing.T) {
	home := serve(t, &Hub{Key: strings.ToLower, LeaveGrace: time.Hour})
	alice, ear := home.join("lobby", "alice")
	tab, _ := home.join("lobby", "alice")
	impostor := home.dial()
	refused := func() {
		t.Helper()
		if err := home.MayJoin("lobby", "Alice"); !errors.Is(err, ErrNameTaken) {
			t.Errorf("MayJoin: got %v, want %v", err, ErrNameTaken)
		}
		if m, err := home.Join("lobby", "Alice", impostor.Conn); !errors.Is(err, ErrNameTaken) {
			t.Errorf("Join: got %v, %v, want %v", m, err, ErrNameTaken)
		}
	}
	refused()
	home.bring(impostor, "attic", "Alice")
	if name, here := alice.Topic().User("ALICE"); name != "alice" || !here {
		t.Errorf("User: got %q, %v", name, here)
	}
	if n, err := alice.Topic().Direct("ALICE", frame.OpText, []byte("psst")); n != 2 || err != nil {
		t.Errorf("Direct: got %d, %v, want 2", n, err)
	}
	ear.wantHeard("psst")
	bob, _ := home.join("lobby", "bob")
	alice.Leave()
	tab.Leave()
	refused()
	if n, err := bob.Topic().Direct("alice", frame.OpText, []byte("psst")); n != 0 || !errors.Is(err, ErrAway) {
		t.Errorf("Direct to a user that is away: got %d, %v, want %v", n, err, ErrAway)
	}
	home.join("lobby", "alice")
	if n, err := bob.Topic().Direct("alice", frame.OpText, []byte("psst")); n != 1 || err != nil {
		t.Errorf("Direct to a user that is back: got %d, %v, want 1", n, err)
	}
}

// TestMaxTopicsPerUser counts topics with connections, whatever their number.
func TestMaxTopicsPerUser(t *testing.T) {
	home := serve(t, &Hub{MaxTopicsPerUser: 2, LeaveGrace: time.Hour})
	c := home.dial()
	refused := func(want error) {
		t.Helper()
		if err := home.MayJoin("c", "alice"); !errors.Is(err, want) {
			t.Errorf("MayJoin: got %v, want %v", err, want)
		}
	}
	home.bring(c, "a", "alice")
	second, _ := home.join("b", "alice")
	tab, _ := home.join("b", "alice")
	refused(ErrTooManyOfUser)
	if m, err := home.Join("c", "alice", c.Conn); !errors.Is(err, ErrTooManyOfUser) || home.Len() != 2 {
		t.Errorf("Join: got %v, %v, and %d topics; want %v and 2", m, err, home.Len(), ErrTooManyOfUser)
	}
	home.join("c", "bob")
	second.Leave()
	refused(ErrTooManyOfUser)
	tab.Leave()
	refused(nil) // though alice is still in sight in b
	if err := home.MayJoin("b", "alice"); err != nil {
		t.Errorf("back to b: got %v", err)
	}
}

// TestOneOfManyAtOnce: however many are let through together, the limits hold, and those that
// do not get in leave no topic behind.
func TestOneOfManyAtOnce(t *testing.T) {
	home := serve(t, &Hub{MaxTopicsPerUser: 1, Key: func(name string) string { return strings.TrimRight(name, "!") }})
	for _, whom := range []func(i int) (topic, user string){
		func(i int) (string, string) { return "lobby", "alice" + strings.Repeat("!", i) },
		func(i int) (string, string) { return fmt.Sprint("t", i), "alice" },
	} {
		const most = 16
		var all sync.WaitGroup
		joined := make(chan *Member, most)
		for i := range most {
			c := home.dial()
			topic, user := whom(i)
			all.Go(func() {
				m, err := home.Join(topic, user, c.Conn)
				switch {
				case err == nil:
					joined <- m
				case !errors.Is(err, ErrNameTaken) && !errors.Is(err, ErrTooManyOfUser):
					t.Errorf("Join: %v", err)
				}
			})
		}
		all.Wait()
		if len(joined) != 1 || home.Len() != 1 {
			t.Fatalf("got %d in, %d topics, want one each", len(joined), home.Len())
		}
		(<-joined).Leave()
		if home.Len() != 0 || home.seats.Size() != 0 {
			t.Errorf("at the end: got %d topics and %d bytes of seats, want none", home.Len(), home.seats.Size())
		}
	}
}

// TestPlacesOfTheGone: a connection that does not get in takes no place.
func TestPlacesOfTheGone(t *testing.T) {
	home := serve(t, &Hub{MaxTopicsPerUser: 1})
	if _, err := home.Join("lobby", "alice", server.Conn{}); err == nil {
		t.Error("the zero Conn: got no error")
	}
	if err := home.MayJoin("attic", "alice"); err != nil || home.seats.Size() != 0 {
		t.Errorf("got %v and %d bytes of seats, want nothing", err, home.seats.Size())
	}
}
