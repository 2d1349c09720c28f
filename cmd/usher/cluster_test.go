//go:build linux

package main_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	gorilla "github.com/gorilla/websocket"
	"github.com/nats-io/nats.go"
)

const clusterToken = "a-token-that-nodes-show-each-other"

// clusterTokenFile returns the flag that names a file with a token.
func clusterTokenFile(t *testing.T, token string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "token")
	writeKeys(t, file, token)
	return "--cluster-token-file=" + file
}

// TestCluster: three nodes are one, for those in their rooms and for backends. Two of them embed
// the servers, and one comes as their client.
func TestCluster(t *testing.T) {
	t.Parallel()
	token, first, clients := clusterTokenFile(t, clusterToken), keptAddr(t), keptAddr(t)
	again := []string{"--cluster", "embedded", "--cluster-listen", keptAddr(t), "--cluster-peers", first, token}
	a := serveNode(t, serve, "a", "--cluster", "embedded", "--cluster-listen", first, "--cluster-client-listen", clients, token)
	b := serveNode(t, serve, "b", again...)
	c := serveNode(t, serve, "c", "--cluster", "nats://"+clients, token)
	meet(t, a, b, c)

	alice := seat(t, a, "alice", "lobby")
	alice.until("Server: alice has joined the chat")
	bob := seat(t, b, "bob", "lobby")
	bob.until("Server: bob has joined the chat")
	together("alice, bob", alice, bob)
	carol := seat(t, c, "carol", "lobby")
	carol.until("Server: carol has joined the chat")
	all := []*member{alice, bob, carol}
	everybody := func(line string) {
		t.Helper()
		for _, m := range all {
			m.until(line)
		}
	}
	alice.until("Server: carol has joined the chat")
	bob.until("Server: carol has joined the chat")
	together("alice, bob, carol", all...)
	for k, m := range all {
		m.say(fmt.Sprint("this is ", k))
		everybody(fmt.Sprintf("%s: this is %d", []string{"alice", "bob", "carol"}[k], k))
	}
	t.Run("backends", func(t *testing.T) { askCluster(t, []*clusterNode{a, b, c}, everybody) })
	t.Run("NATS", func(t *testing.T) { tellCluster(t, clients, everybody, carol) })

	second := seat(t, a, "carol", "lobby") // of one who is here
	second.say("from elsewhere")
	everybody("carol: from elsewhere")
	second.Close()
	b.kill(t)
	alice.until("Server: bob has left the chat")
	carol.until("Server: bob has left the chat")
	b = serveNode(t, serve, "b", again...)
	meet(t, a, b, c)
	bob = seat(t, b, "bob", "lobby")
	all[1] = bob
	bob.until("Server: bob has joined the chat")
	alice.until("Server: bob has joined the chat")
	carol.until("Server: bob has joined the chat")
	bob.say("here again")
	everybody("bob: here again")
	alice.wantOnce("Server: carol has joined the chat", "Server: bob has left the chat")

	banInCluster(t, []*clusterNode{a, b, c}, alice, bob)
}

// banInCluster has alice banned by the second node.
func banInCluster(t *testing.T, all []*clusterNode, alice, bob *member) {
	all[1].api.want(t, "DELETE", "/v1/users/alice?ban=10m", "", 200)
	bob.until("Server: alice has left the chat")
	bob.wantOnce("Server: alice has left the chat")
	err := error(nil)
	for err == nil {
		_, _, err = alice.ReadMessage()
	}
	if !gorilla.IsCloseError(err, 4403) {
		t.Errorf("alice is out by %v", err)
	}
	for _, n := range all {
		eventually(t, "alice is banned at "+n.name, func() bool {
			g, resp := enter(t, n.program, "alice", "hall")
			if g.Conn != nil {
				g.Close()
			}
			return resp.StatusCode == http.StatusForbidden
		})
	}
}

// askCluster asks nodes what backends ask.
func askCluster(t *testing.T, all []*clusterNode, everybody func(line string)) {
	for k, n := range all {
		answer := n.api.want(t, "POST", "/v1/rooms/lobby/messages", fmt.Sprintf(`{"text":"by %s","from":"Desk"}`, n.name), 200)
		if answer["connections"] != 3.0 || answer["nodes"] != 3.0 {
			t.Errorf("at %s: got %v", n.name, answer)
		}
		everybody("Desk: by " + n.name)
		if answer = n.api.want(t, "GET", "/v1/rooms/lobby", "", 200); answer["users"] != 3.0 {
			t.Errorf("at %s: got %v", n.name, answer)
		}
		user, other := fmt.Sprint("guest", k), all[(k+1)%len(all)]
		room := "hall-" + n.name
		n.api.want(t, "POST", "/v1/rooms/"+room+"/messages", `{"text":"kept","retain":true}`, 200)
		g := seat(t, other, user, room) // later, and elsewhere
		g.until("Server: kept")
		n.api.want(t, "POST", "/v1/users/"+user+"/messages", `{"text":"for you"}`, 200)
		g.until("Server: for you")
		n.api.want(t, "DELETE", "/v1/users/"+user, "", 200)
		err := error(nil)
		for err == nil {
			_, _, err = g.ReadMessage()
		}
		if !gorilla.IsCloseError(err, 4403) {
			t.Errorf("%s, kicked by %s: got %v", user, n.name, err)
		}
	}
}

// tellCluster publishes over NATS, to all in the lobby and to carol.
func tellCluster(t *testing.T, addr string, everybody func(line string), carol *member) {
	nc, err := nats.Connect("nats://"+addr, nats.Token(clusterToken))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, subject := range []string{"usher.room.lobby", "usher.user.carol"} {
		if err := nc.Publish(subject, []byte(`{"text":"from Go","from":"`+subject+`"}`)); err != nil {
			t.Fatal(err)
		}
	}
	everybody("usher.room.lobby: from Go")
	if !has(carol.heard, "usher.user.carol: from Go") { // rooms and users have no order
		carol.until("usher.user.carol: from Go")
	}
	publishByPython(t, addr, "usher.room.lobby", "usher.user.carol")
	everybody("usher.room.lobby: from Python")
	if !has(carol.heard, "usher.user.carol: from Python") {
		carol.until("usher.user.carol: from Python")
	}
}

// publishByPython says something by the program that docs/CLUSTER.md shows.
func publishByPython(t *testing.T, addr string, subjects ...string) {
	t.Helper()
	if _, err := os.Stat(debian); err != nil {
		missing(t, "python3", "not installed; see make deps")
	}
	args := []string{"../../hub/nats/testdata/publish.py", addr}
	for _, subject := range subjects {
		args = append(args, subject, `{"text":"from Python","from":"`+subject+`"}`)
	}
	cmd := exec.Command(debian, args...)
	cmd.Env = append(os.Environ(), "NATS_TOKEN="+clusterToken)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("python3: %v\n%s", err, out)
	}
}

func has(lines []string, want string) bool {
	return strings.Contains("\n"+strings.Join(lines, "\n")+"\n", "\n"+want+"\n")
}

// TestClusterClosed: nodes that speak TLS and show a token are one, and whoever lacks either is
// left out, and says so.
func TestClusterClosed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, other := issue(t, dir, "ca", nil, "CA"), issue(t, dir, "other", nil, "other")
	flags := func(id, ca *identity, token string) []string {
		return []string{"--cluster-tls-cert", id.cert, "--cluster-tls-key", id.key, "--cluster-tls-ca", ca.cert, clusterTokenFile(t, token)}
	}
	first, clients := keptAddr(t), keptAddr(t)
	id := issue(t, dir, "node", ca, "node")
	good := flags(id, ca, clusterToken)
	route := []string{"--cluster", "embedded", "--cluster-listen", "127.0.0.1:0", "--cluster-peers", first}
	a := serveNode(t, serve, "a", append([]string{"--cluster", "embedded", "--cluster-listen", first, "--cluster-client-listen", clients}, good...)...)
	b := serveNode(t, serve, "b", append(route, good...)...)
	meet(t, a, b)
	alice, bob := seat(t, a, "alice", "lobby"), seat(t, b, "bob", "lobby")
	together("alice, bob", alice, bob)
	alice.say("over TLS")
	bob.until("alice: over TLS")

	wrong := strings.Repeat("wrong", 8)
	for name, tt := range map[string]struct {
		flags []string
		says  string
	}{
		"token-of-a-peer":   {append(route, flags(id, ca, wrong)...), "uthorization"},
		"CA-of-a-peer":      {append(route, flags(other, other, clusterToken)...), "certificate"},
		"token-of-a-client": {append([]string{"--cluster", "tls://" + clients}, flags(id, ca, wrong)...), "uthorization"},
		"CA-of-a-client":    {append([]string{"--cluster", "tls://" + clients}, flags(other, other, clusterToken)...), "certificate"},
	} {
		n := serveNode(t, serve, name, tt.flags...)
		n.says(t, tt.says)
		if got := scrape(t, n.admin)["usher_cluster_nodes"]; got != 1 {
			t.Errorf("%s: knows %d nodes", name, got)
		}
		for _, secret := range []string{wrong, clusterToken} {
			if strings.Contains(n.stderr.String()+a.stderr.String(), secret) {
				t.Errorf("%s: a token is in the log", name)
			}
		}
		n.kill(t)
	}
	meet(t, a, b) // nobody else
}

// TestClusterWithoutNATS: when the nats-server is killed rooms go on at each node, backends are
// not told that all have heard them, and all is well again with the next one.
func TestClusterWithoutNATS(t *testing.T) {
	t.Parallel()
	s := serveNATS(t)
	a, b := serveNode(t, serve, "a", "--cluster", s.url), serveNode(t, serve, "b", "--cluster", s.url)
	meet(t, a, b)
	alice, bob := seat(t, a, "alice", "lobby"), seat(t, b, "bob", "lobby")
	together("alice, bob", alice, bob)
	alice.say("before")
	bob.until("alice: before")

	s.kill()
	for _, n := range []*clusterNode{a, b} {
		eventually(t, "node "+n.name+" is degraded", func() bool {
			status, text := fetchPage(t, n.admin+"/readyz")
			return status == http.StatusOK && strings.HasPrefix(text, "degraded: ")
		})
	}
	alice.say("alone")
	alice.until("alice: alone")
	req, err := http.NewRequest(http.MethodPost, a.api.base+"/v1/rooms/lobby/messages", strings.NewReader(`{"text":"to nobody"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+backendKey)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a backend without NATS: got %v, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
	}

	s.restart(t)
	meet(t, a, b)
	for _, n := range []*clusterNode{a, b} {
		eventually(t, "node "+n.name+" is ready", func() bool {
			status, text := fetchPage(t, n.admin+"/readyz")
			return status == http.StatusOK && strings.TrimSpace(text) == "ok"
		})
	}
	eventually(t, "a message crosses again", func() bool {
		return a.api.want(t, "POST", "/v1/rooms/lobby/messages", `{"text":"after"}`, 200)["connections"] == 2.0
	})
	bob.until("Server: after")
	if has(bob.heard, "alice: alone") {
		t.Error("what was said without NATS came after all")
	}
}
