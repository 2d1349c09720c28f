//go:build linux

package main_test

import "testing"

// TestClusterEvents: a backend is told once that a user came to a room of the cluster, and once that the
// user has gone, although the room is new at the second node, and the first is left first.
func TestClusterEvents(t *testing.T) {
	t.Parallel()
	s, backend := serveNATS(t), newEventsBackend(t)
	flags := append(backend.flags("joined,left"), "--cluster", s.url, "--leave-grace", "0")
	a, b := serveNode(t, serve, "a", flags...), serveNode(t, serve, "b", flags...)
	meet(t, a, b)
	first := seat(t, a, "alice", "lobby")
	backend.want("joined alice lobby")
	second := seat(t, b, "alice", "lobby")
	bob := seat(t, b, "bob", "lobby")
	backend.want("joined alice lobby", "joined bob lobby")
	together("alice, bob", first, bob)
	first.Close()
	carol := seat(t, a, "carol", "lobby")
	backend.want("joined alice lobby", "joined bob lobby", "joined carol lobby")
	second.Close()
	backend.want("joined alice lobby", "joined bob lobby", "joined carol lobby", "left alice lobby")
	carol.Close()
	backend.want("joined alice lobby", "joined bob lobby", "joined carol lobby", "left alice lobby", "left carol lobby")
}
