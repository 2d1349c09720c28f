//go:build linux

package hub

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// noted is a record of Hub.Note.
type noted struct {
	mu  sync.Mutex
	all []string
}

func (n *noted) note(topic, user string, came bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	sign := "-"
	if came {
		sign = "+"
	}
	n.all = append(n.all, sign+user+"@"+topic)
}

func (n *noted) is(want ...string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if got := n.all; !slices.Equal(got, want) {
		return fmt.Errorf("got %q, want %q", got, want)
	}
	return nil
}

// TestNote: Note is told of each user of a topic once, however many connections there are, also
// where moves are gathered and when the topic is empty behind it.
func TestNote(t *testing.T) {
	var n noted
	x := serve(t, &Hub{Note: n.note, GatherAbove: 1})
	one, _ := x.join("lobby", "alice")
	two, _ := x.join("lobby", "alice")
	bob, _ := x.join("lobby", "bob")
	one.Leave()
	bob.Leave()
	two.Leave()
	two.Leave()
	if err := n.is("+alice@lobby", "+bob@lobby", "-bob@lobby", "-alice@lobby"); err != nil {
		t.Error(err)
	}
}

// TestNoteAndGrace: a user that comes back in time has never gone, and at the end of a program
// nobody's time is waited for.
func TestNoteAndGrace(t *testing.T) {
	var n noted
	x := serve(t, &Hub{Note: n.note, LeaveGrace: time.Hour})
	for range 2 {
		alice, _ := x.join("lobby", "alice")
		alice.Leave()
	}
	bob, _ := x.join("lobby", "bob")
	carol, _ := x.join("attic", "carol")
	bob.Leave()
	x.Close()
	if err := n.is("+alice@lobby", "+bob@lobby", "+carol@attic", "-alice@lobby", "-bob@lobby"); err != nil {
		t.Error(err)
	}
	if x.Len() != 1 {
		t.Errorf("got %d topics", x.Len())
	}
	carol.Leave()
	x.Close()
	x.Close()
	if x.Len() != 0 {
		t.Errorf("got %d topics", x.Len())
	}
}

// TestNoteOfACrowdedHub: where more than half of MaxTopics are in use, a topic that is left by
// all ends at once, with all that were kept in it.
func TestNoteOfACrowdedHub(t *testing.T) {
	var n noted
	x := serve(t, &Hub{Note: n.note, LeaveGrace: time.Hour, MaxTopics: 1})
	alice, _ := x.join("lobby", "alice")
	bob, _ := x.join("lobby", "bob")
	alice.Leave()
	bob.Leave()
	n.mu.Lock()
	slices.Sort(n.all)
	n.mu.Unlock()
	if err := n.is("+alice@lobby", "+bob@lobby", "-alice@lobby", "-bob@lobby"); err != nil {
		t.Error(err)
	}
}

// TestNoteInOrder: users that come and go on many goroutines are told in an order that has
// happened.
func TestNoteInOrder(t *testing.T) {
	var n noted
	x := serve(t, &Hub{Note: n.note})
	var all sync.WaitGroup
	for k := range 4 {
		c := x.dial()
		all.Go(func() {
			for range 100 {
				x.bring(c, "lobby", fmt.Sprint("user", k%2)).Leave()
			}
		})
	}
	all.Wait()
	here := make(map[string]bool)
	for _, move := range n.all {
		if came := move[0] == '+'; here[move[1:]] == came {
			t.Fatalf("%s twice in a row", move)
		} else {
			here[move[1:]] = came
		}
	}
	for user, is := range here {
		if is {
			t.Errorf("%s is still here", user)
		}
	}
}
