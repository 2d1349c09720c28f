//go:build linux

package hub

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// moves records what Moved is called with.
type moves struct {
	mu  sync.Mutex
	all []Move
}

func (r *moves) record(_ *Topic, m Move) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, m)
}

// take returns what was recorded since the last time.
func (r *moves) take() []Move {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.all
	r.all = nil
	return all
}

func (r *moves) want(t *testing.T, want ...Move) {
	t.Helper()
	if got := r.take(); !slices.Equal(got, want) {
		t.Errorf("moves: got %v, want %v", got, want)
	}
}

// await waits for so many moves.
func (r *moves) await(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		r.mu.Lock()
		got := len(r.all)
		r.mu.Unlock()
		if got >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("moves: got %d, want %d", got, n)
		}
	}
}

func TestMoved(t *testing.T) {
	var r moves
	home := serve(t, &Hub{Moved: r.record})
	alice, _ := home.join("lobby", "alice")
	bob, _ := home.join("lobby", "bob")
	bob2, _ := home.join("lobby", "bob")
	r.want(t, Move{User: "alice", Joined: 1, Count: 1}, Move{User: "bob", Joined: 1, Count: 2},
		Move{User: "bob", Joined: 1, Count: 2, To: bob2})
	bob.Leave()
	r.want(t)
	bob2.Leave()
	bob2.Leave()
	r.want(t, Move{User: "bob", Left: 1, Count: 1})
	alice.Leave() // there is nobody to be told
	r.want(t)
}

// TestMovedInOrder: while many come and go at once, what is told adds up at every
// step.
func TestMovedInOrder(t *testing.T) {
	for _, grace := range []time.Duration{0, time.Microsecond} {
		var r moves
		home := serve(t, &Hub{Moved: r.record, LeaveGrace: grace})
		home.join("lobby", "host")
		var all sync.WaitGroup
		const guests, times = 4, 200
		for g := range 2 * guests {
			c := home.dial()
			all.Go(func() {
				for range times {
					m, err := home.Join("lobby", fmt.Sprint("u", g%guests), c.Conn)
					if err != nil {
						t.Errorf("Join: %v", err)
						return
					}
					m.Leave()
				}
			})
		}
		all.Wait()
		here, tell := make(map[string]bool), 0
		for deadline := time.Now().Add(patience); tell == 0 || len(here) > 1; time.Sleep(time.Millisecond) {
			all := r.take()
			tell += len(all)
			wantAddUp(t, all, here)
			if time.Now().After(deadline) {
				t.Fatalf("%v did not leave", here)
			}
		}
	}
}

// TestGrace: a user whose connections have gone is there for a while, and then is
// not, by one timer for all.
func TestGrace(t *testing.T) {
	var r moves
	home := serve(t, &Hub{Moved: r.record, LeaveGrace: 50 * time.Millisecond})
	host, _ := home.join("lobby", "host")
	const guests = 100
	c := home.dial()
	began := time.Now()
	for i := range guests {
		home.bring(c, "lobby", fmt.Sprint("u", i)).Leave()
	}
	if _, total := host.Topic().Presence(0); total != guests+1 && time.Since(began) < home.LeaveGrace {
		t.Errorf("within the grace: got %d users, want %d", total, guests+1)
	}
	r.await(t, 1+2*guests)
	if took := time.Since(began); took < home.LeaveGrace {
		t.Errorf("all left after %v, want %v at least", took, home.LeaveGrace)
	}
	here, left := 0, 0 // the first may have left before the last has come
	for i, m := range r.take() {
		here += m.Joined - m.Left
		want := Move{User: fmt.Sprint("u", left), Left: 1, Count: here}
		if left += m.Left; m.Left > 0 && m != want || m.Count != here {
			t.Errorf("move %d: got %+v, want %+v", i, m, want)
		}
	}
	if here != 1 || left != guests {
		t.Errorf("%d are there and %d have left, want 1 and %d", here, left, guests)
	}
	home.mu.Lock()
	defer home.mu.Unlock()
	if len(home.away) != 0 || home.topics["lobby"].users.Len() != 1 {
		t.Errorf("got %d leaving, %d users", len(home.away), home.topics["lobby"].users.Len())
	}
}

// TestGraceKeeps: the status of a user that comes back in time, and the topic of one that was
// alone in it.
func TestGraceKeeps(t *testing.T) {
	var r moves
	home := serve(t, &Hub{Moved: r.record, LeaveGrace: time.Hour, MaxTopics: 2})
	alice, c := home.join("lobby", "alice")
	alice.SetStatus("busy")
	if alice.Leave() {
		t.Error("Leave of the last: got true, want false")
	}
	if n, _ := alice.Topic().Direct("alice", 1, nil); n != 0 {
		t.Errorf("Direct to a user without a connection: got %d, want 0", n)
	}
	back := home.bring(c, "lobby", "alice")
	if got, _ := back.Topic().Presence(1); back.Topic() != alice.Topic() || got[0].Status != "busy" {
		t.Errorf("back in %p as %v, want busy in %p", back.Topic(), got, alice.Topic())
	}
	r.want(t, Move{User: "alice", Joined: 1, Count: 1}, Move{User: "alice", Joined: 1, Count: 1, To: back})
}

// TestGraceLeavesPlaces: users that rush from topic to topic do not use them up.
func TestGraceLeavesPlaces(t *testing.T) {
	home := serve(t, &Hub{LeaveGrace: time.Hour, MaxTopics: 4})
	alice, bob := home.dial(), home.dial()
	for i := range 20 {
		a, b := home.bring(alice, fmt.Sprint("t", i), "alice"), home.bring(bob, fmt.Sprint("t", i), "bob")
		a.Leave()
		b.Leave()
		if got := home.Len(); got > 2 {
			t.Fatalf("topics in use: got %d, want 2 at most", got)
		}
	}
	home.mu.Lock()
	defer home.mu.Unlock()
	if got := len(home.leaving) - home.stayed; got != 4 {
		t.Errorf("users on their way out: got %d, want 2 in each of 2 topics", got)
	}
}

// TestGather: in a topic of many users moves are told together, and to a member that joins at
// once.
func TestGather(t *testing.T) {
	var r moves
	home := serve(t, &Hub{Moved: r.record, GatherAbove: 2})
	home.join("lobby", "a")
	b, _ := home.join("lobby", "b")
	r.want(t, Move{User: "a", Joined: 1, Count: 1}, Move{User: "b", Joined: 1, Count: 2})
	c, _ := home.join("lobby", "c")
	d, _ := home.join("lobby", "d")
	c.Leave()
	d.Leave()
	b.Leave() // few are left, but what was gathered comes first
	r.await(t, 3)
	r.want(t, Move{User: "c", Joined: 1, Count: 3, To: c}, Move{User: "d", Joined: 1, Count: 4, To: d},
		Move{Joined: 2, Left: 3, Count: 1})
	b, _ = home.join("lobby", "b")
	b.Leave()
	r.want(t, Move{User: "b", Joined: 1, Count: 2}, Move{User: "b", Left: 1, Count: 1})

	home.mu.Lock()
	defer home.mu.Unlock()
	if len(home.gathered) != 0 {
		t.Errorf("got %d topics with moves to tell, want 0", len(home.gathered))
	}
}
