//go:build linux

package interop

import (
	"testing"

	"github.com/usher-ws/usher/chat"
	"github.com/usher-ws/usher/server"
)

// TestAPIHeldUp: a callback that holds up a loop does not hold up the backend, which is told that it
// has not happened; and what needs no loop happens.
func TestAPIHeldUp(t *testing.T) {
	n := newNode(t, readOpenAPI(t), nil, nil, chat.Config{})
	n.join(t, "hall", "alice")
	stuck, gate := make(chan bool), make(chan bool)
	if err := n.Server.UserConns("alice")[0].Run(func(server.Conn) { close(stuck); <-gate }); err != nil {
		t.Fatal(err)
	}
	<-stuck
	n.want(t, "PUT", "/v1/rooms/annex/members/alice", "", 503, "code", "unavailable")
	n.want(t, "DELETE", "/v1/rooms/hall/members/alice", "", 200, "connections", 1)
	close(gate)
	n.want(t, "GET", "/v1/users/alice", "", 200, "total", 1) // the loop has come to it, and to what was asked before
	n.want(t, "GET", "/v1/rooms/annex", "", 200, "users", 0)
	n.want(t, "PUT", "/v1/rooms/annex/members/alice", "", 200, "connections", 1)
}
