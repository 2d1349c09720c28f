//go:build linux

package main_test

import (
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestClusterGoodbye: users of a node that is stopped leave everywhere with its end, whatever
// --leave-grace there would still give them: before those of a node that stands still from then on,
// of whom the others find out by its silence.
func TestClusterGoodbye(t *testing.T) {
	t.Parallel()
	token, first, clients := clusterTokenFile(t, clusterToken), keptAddr(t), keptAddr(t)
	a := serveNode(t, serve, "a", "--cluster", "embedded", "--cluster-listen", first, "--cluster-client-listen", clients, token)
	b := serveNode(t, serve, "b", "--cluster", "embedded", "--cluster-listen", keptAddr(t), "--cluster-peers", first, "--leave-grace", "1h", token)
	c := serveNode(t, serve, "c", "--cluster", "nats://"+clients, token)
	meet(t, a, b, c)
	alice, bob, carol, dora := seat(t, a, "alice", "lobby"), seat(t, b, "bob", "lobby"), seat(t, c, "carol", "lobby"), seat(t, b, "dora", "lobby")
	together("alice, bob, carol, dora", alice, bob, carol, dora)
	bob.Close() // and is still there, for an hour
	b.signal(t, syscall.SIGTERM)
	if code := b.exit(t, patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	ended := time.Now()
	c.signal(t, syscall.SIGSTOP)
	const gone = "Server: carol has left the chat"
	alice.until(gone)
	alice.wantOnce("Server: bob has left the chat", "Server: dora has left the chat", gone)
	t.Logf("carol was gone %v after the node of the others, and the order is %q", time.Since(ended), slices.Clip(alice.heard))
}
