//go:build linux

package interop

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/usher-ws/usher/chat"
	"github.com/usher-ws/usher/server"
)

var serverQuery = server.ConnQuery{Max: 1000}

func readResponse(t *testing.T, conn net.Conn, req *http.Request) *http.Response {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// testCluster: every call works from any node.
func testCluster(t *testing.T, spec *openAPI) {
	f, nodes := newFleet(t, spec, "a", "b", "c")
	a, b, c := nodes[0], nodes[1], nodes[2]
	alice := a.join(t, "talk", "alice")
	bob := b.join(t, "talk", "bob")
	twice := b.join(t, "other", "alice")
	for _, n := range nodes { // whichever is asked
		n.want(t, "POST", "/v1/rooms/talk/messages", `{"text":"to all"}`, 200, "connections", 2, "nodes", 3)
		alice.wantText("Server: to all")
		bob.wantText("Server: to all")
		n.want(t, "POST", "/v1/users/alice/messages", `{"text":"to her"}`, 200, "connections", 2, "nodes", 3)
		alice.wantText("Server: to her")
		twice.wantText("Server: to her")
		n.want(t, "POST", "/v1/connections/"+a.idOf(t, "bob")+"/messages", `{"text":"to him"}`, 200, "connections", 1)
		bob.wantText("Server: to him")
		user := n.want(t, "GET", "/v1/users/alice", "", 200, "total", 2, "nodes", 3)
		var of []string
		for _, c := range user["connections"].([]any) {
			of = append(of, c.(map[string]any)["node"].(string))
		}
		if slices.Sort(of); !slices.Equal(of, []string{"a", "b"}) {
			t.Errorf("alice is at %q", of)
		}
		room := n.want(t, "GET", "/v1/rooms/talk", "", 200, "users", 2, "connections", 2, "nodes", 3)
		if got := fmt.Sprint(room["members"]); got != "[map[connections:1 user:alice] map[connections:1 user:bob]]" {
			t.Errorf("in the room are %s", got)
		}
		rooms := n.want(t, "GET", "/v1/rooms", "", 200, "nodes", 3)
		if got := fmt.Sprint(rooms["rooms"]); got != "[map[connections:1 room:other users:1] map[connections:2 room:talk users:2]]" {
			t.Errorf("the rooms are %s", got)
		}
	}
	if got := a.want(t, "GET", "/v1/rooms?limit=1", "", 200, "next", "other")["rooms"]; fmt.Sprint(got) != "[map[connections:1 room:other users:1]]" {
		t.Errorf("the first room is %v", got)
	}

	// An id counts at whichever node it comes back.
	for path, connections := range map[string]int{"/v1/rooms/talk": 2, "/v1/users/alice": 2, "/v1/connections/" + c.idOf(t, "bob"): 1} {
		a.want(t, "POST", path+"/messages", `{"text":"once","id":"1"}`, 200, "connections", connections, "duplicate", nil)
		for _, n := range nodes {
			n.want(t, "POST", path+"/messages", `{"text":"twice","id":"1"}`, 200, "connections", connections, "duplicate", true)
		}
	}
	heard := a.ends(t, bob, "/v1/rooms/talk", "/v1/users/bob")
	if got := strings.Join(heard, " "); got != "Server: once Server: once" { // of the room and of the connection
		t.Errorf("bob has heard %s", got)
	}

	// Members, retained values, bans.
	c.want(t, "PUT", "/v1/rooms/annex/members/alice", "", 200, "connections", 2, "nodes", 3)
	c.want(t, "DELETE", "/v1/rooms/annex/members/alice", "", 200, "connections", 2)
	c.want(t, "POST", "/v1/rooms/board/messages", `{"text":"kept","retain":true}`, 200, "connections", 0, "nodes", 3)
	for _, n := range nodes {
		late := n.dial(t, "/ws/board?as=late-"+n.Nodes.Name())
		late.wantText("Server: kept")
		if got := fmt.Sprint(n.want(t, "GET", "/v1/rooms/board", "", 200)["retained"]); !strings.Contains(got, "text:kept") {
			t.Errorf("retained is %s", got)
		}
	}
	a.want(t, "DELETE", "/v1/rooms/board/retained", "", 200, "nodes", 3)
	b.want(t, "DELETE", "/v1/rooms/board/retained", "", 404)
	c.want(t, "DELETE", "/v1/users/bob?ban=1h&reason=enough", "", 200, "connections", 1, "nodes", 3)
	bob.wantClose(4403, "enough")
	for _, n := range nodes {
		n.refused(t, "/echo?as=bob", 403, `"banned"`)
	}
	a.want(t, "DELETE", "/v1/connections/"+c.idOf(t, "late-b")+"?ban=1h", "", 200, "connections", 1, "nodes", 3)
	for _, n := range nodes {
		n.refused(t, "/echo?as=late-b", 403, `"banned"`)
	}

	// A node that comes late asks for what it has missed.
	late := newNode(t, spec, berth{f, "d"}, nil, chat.Config{})
	c.want(t, "POST", "/v1/rooms/news/messages", `{"text":"old","retain":true}`, 200)
	if silent, err := late.CatchUp(t.Context()); err != nil || silent != nil {
		t.Errorf("catching up: %q, %v", silent, err)
	}
	late.refused(t, "/echo?as=bob", 403, `"banned"`)
	if got := fmt.Sprint(late.want(t, "GET", "/v1/rooms/news", "", 200)["retained"]); !strings.Contains(got, "text:old") {
		t.Errorf("retained is %s", got)
	}
	b.want(t, "DELETE", "/v1/users/bob/ban", "", 200, "nodes", 4)
	if got := fmt.Sprint(a.want(t, "GET", "/v1/bans", "", 200)["bans"]); !strings.Contains(got, "late-b") || strings.Contains(got, "bob") {
		t.Errorf("banned are %s", got)
	}
}

// testOutage: what is not known is not told, and what may not have happened everywhere is told as that.
func testOutage(t *testing.T, spec *openAPI) {
	f, nodes := newFleet(t, spec, "a", "b", "c")
	a := nodes[0]
	alice, elsewhere := a.join(t, "talk", "alice"), nodes[1].join(t, "talk", "eve")
	id := nodes[1].idOf(t, "eve")
	bodies := map[string]string{"putExpiry": `{"exp":4000000000}`}
	body := func(op operation) string {
		if b, ok := bodies[op.OperationID]; ok {
			return b
		}
		return `{"text":"?","id":"7"}`
	}
	f.set("", true)
	spec.each(func(method, path string, op operation) {
		a.want(t, method, path, body(op), 503, "code", "unavailable")
		a.want(t, method, strings.Replace(path, "1-2-3-4", id, 1), body(op), 503, "code", "unavailable")
	})
	a.want(t, "POST", "/v1/rooms/talk/messages", `{"text":"?","retain":true}`, 503)
	a.want(t, "DELETE", "/v1/users/eve?ban=1h", "", 503)
	f.set("", false)
	a.want(t, "POST", "/v1/rooms/talk/messages", `{"text":"the first","id":"7"}`, 200, "duplicate", nil, "connections", 2)
	alice.hear() // that eve has joined, or not
	f.set("c", false)
	changes := []string{
		"PUT /v1/rooms/annex/members/alice", "DELETE /v1/rooms/annex/members/alice", "POST /v1/rooms/talk/messages", "POST /v1/users/nobody/messages", "DELETE /v1/users/eve?ban=1h", "DELETE /v1/users/eve/ban",
	}
	for _, change := range changes {
		method, path, _ := strings.Cut(change, " ")
		a.want(t, method, path, `{"text":"?"}`, 202, "nodes", 2, "silent", "[c]")
	}
	a.want(t, "POST", "/v1/rooms/board/messages", `{"text":"?","retain":true}`, 202, "silent", "[c]")
	a.want(t, "DELETE", "/v1/rooms/board/retained", "", 202, "silent", "[c]")
	spec.each(func(method, path string, op operation) {
		switch op.OperationID {
		case "listRooms", "getRoom", "listBans":
			a.want(t, method, path, "", 200, "silent", "[c]")
		case "getUser", "closeUser", "liftBan", "deleteMember", "putMember", "deleteRetained", "getConnection", "closeConnection", "putExpiry", "tellConnection":
			a.want(t, method, strings.Replace(path, "eve", "nobody", 1), body(op), 503, "code", "unavailable") // c may know
		}
	})
	a.want(t, "DELETE", "/v1/connections/"+a.idOf(t, "alice")+"?ban=1h", "", 202, "silent", "[c]")
	elsewhere.wantClose(4403, "")
	alice.wantClose(4403, "")
}
