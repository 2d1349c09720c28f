//go:build linux

package hub

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestGoodbye: when a hub is closed its users leave at the others at once, also those who have not
// left there yet: here, while what it said before still comes, so that nobody takes it for silent.
func TestGoodbye(t *testing.T) {
	var e ether
	homes := e.cluster(t, []string{"north", "south"}, func() *Hub { return &Hub{Announce: announce, LeaveGrace: time.Hour} })
	north, south := homes[0], homes[1]
	_, ear := south.join("lobby", "host")
	_, alice := north.join("lobby", "alice")
	south.awaitUsers("lobby", users("alice", "host")...)
	north.join("lobby", "bob")
	north.join("lobby", "carol")
	south.join("lobby", "bob")
	north.vanish(alice, "lobby")
	south.awaitUsers("lobby", users("alice", "bob", "carol", "host")...)
	e.mu.Lock()
	before := e.last["north"]
	hear := e.ears["south"]
	e.mu.Unlock()
	over := make(chan bool)
	var echo sync.WaitGroup
	echo.Go(func() {
		for {
			select {
			case <-over:
				return
			case <-time.After(10 * time.Millisecond):
				hear(before)
			}
		}
	})
	north.Close()
	south.awaitUsers("lobby", users("bob", "host")...)
	close(over)
	echo.Wait()
	gone := ear.heard()
	for i, text := range gone {
		gone[i], _, _ = strings.Cut(text, " ")
	}
	slices.Sort(gone)
	if want := []string{"+alice", "+bob", "+carol", "+host", "-alice", "-carol"}; !slices.Equal(gone, want) {
		t.Errorf("got %q, want %q", gone, want)
	}
}
