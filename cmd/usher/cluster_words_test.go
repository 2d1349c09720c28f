//go:build linux

package main_test

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
)

// wantRetained waits until all nodes answer that a room has retained a text; "" is nothing.
func wantRetained(t *testing.T, room, text string, all ...*clusterNode) {
	t.Helper()
	for _, n := range all {
		eventually(t, fmt.Sprintf("%s knows that %s has retained %q", n.name, room, text), func() bool {
			got := n.api.want(t, "GET", "/v1/rooms/"+room, "", 200)["retained"]
			if text == "" {
				return got == nil
			}
			return got != nil && strings.Contains(fmt.Sprint(got), text)
		})
	}
}

// TestClusterRetain: what NATS clients have retained in a room is there for whoever joins, at any
// node, though nobody was in the room, or anywhere at all.
func TestClusterRetain(t *testing.T) {
	t.Parallel()
	token, clients := clusterTokenFile(t, clusterToken), keptAddr(t)
	a := serveNode(t, serve, "a", "--cluster", "embedded", "--cluster-client-listen", clients, "--rooms", "lobby,attic,cellar", token)
	b := serveNode(t, serve, "b", "--cluster", "nats://"+clients, "--rooms", "lobby,attic,cellar", token)
	meet(t, a, b)
	nc, err := nats.Connect("nats://"+clients, nats.Token(clusterToken))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, m := range []struct{ room, body string }{
		{"attic", `{"text":"the first","from":"Desk"}`}, {"attic", `{"text":"the second","from":"Desk","id":"2"}`}, {"attic", `{"text":"the third","id":"2"}`},
		{"nowhere", `{"text":"no room"}`}, {"cellar", `{"json":{"price":7}}`},
	} {
		if err := nc.Publish("usher.retain."+m.room, []byte(m.body)); err != nil {
			t.Fatal(err)
		}
	}
	wantRetained(t, "attic", "the second", a, b)
	wantRetained(t, "cellar", "price", a, b)
	for k, n := range []*clusterNode{a, b} {
		g := seat(t, n, fmt.Sprint("guest", k), "attic")
		g.until("Desk: the second")
	}
	rooms := b.api.want(t, "GET", "/v1/rooms", "", 200)["rooms"].([]any)
	if len(rooms) != 2 || strings.Contains(fmt.Sprint(rooms), "nowhere") {
		t.Errorf("there are the rooms %v", rooms)
	}
	publishByPython(t, clients, "usher.retain.lobby")
	wantRetained(t, "lobby", "from Python", a, b)
	g := seat(t, b, "carol", "lobby")
	g.until("usher.retain.lobby: from Python")
}

// TestClusterWords: a ban that was lifted while a node was silent, and a value that was forgotten, do
// not come back with it; one that was said meanwhile comes to it.
func TestClusterWords(t *testing.T) {
	t.Parallel()
	between := serveNATS(t)
	var all []*clusterNode
	for _, name := range []string{"a", "b", "c"} {
		all = append(all, serveNode(t, serve, name, "--cluster", between.url))
	}
	meet(t, all...)
	a, silent, c := all[0], all[1], all[2]
	isBanned := func(n *clusterNode, user string) bool {
		g, resp := enter(t, n.program, user, "hall")
		if g.Conn != nil {
			g.Close()
		}
		return resp.StatusCode == http.StatusForbidden
	}
	for _, user := range []string{"alice", "bob"} {
		a.api.want(t, "DELETE", "/v1/users/"+user+"?ban=1h", "", 200)
	}
	for _, room := range []string{"attic", "cellar"} {
		a.api.want(t, "POST", "/v1/rooms/"+room+"/messages", `{"text":"old","retain":true}`, 200)
		wantRetained(t, room, "old", all...)
	}
	silent.signal(t, syscall.SIGSTOP)
	between.kill() // so that nothing waits for it there
	between.restart(t)
	meet(t, a, c)
	c.api.want(t, "DELETE", "/v1/users/alice/ban", "", 200)
	c.api.want(t, "DELETE", "/v1/users/carol?ban=1h", "", 200)
	c.api.want(t, "DELETE", "/v1/rooms/attic/retained", "", 200)
	c.api.want(t, "POST", "/v1/rooms/cellar/messages", `{"text":"new","retain":true}`, 200)
	silent.signal(t, syscall.SIGCONT)
	meet(t, all...)
	eventually(t, silent.name+" knows the last words", func() bool {
		return !isBanned(silent, "alice") && isBanned(silent, "bob") && isBanned(silent, "carol")
	})
	wantRetained(t, "attic", "", all...)
	wantRetained(t, "cellar", "new", all...)
	for _, n := range all {
		if isBanned(n, "alice") || !isBanned(n, "bob") || !isBanned(n, "carol") {
			t.Errorf("at %s it is forgotten what was said last", n.name)
		}
	}
	g := seat(t, silent, "dora", "attic")
	g.until("Server: dora has joined the chat")
	if has(g.heard, "Server: old") {
		t.Error("what was forgotten is heard")
	}
}
