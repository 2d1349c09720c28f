//go:build linux

package nats

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
)

// block returns the first block of a language in docs/CLUSTER.md.
func block(t *testing.T, language string) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/CLUSTER.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(b), "```"+language+"\n")
	text, _, ok := strings.Cut(text, "```\n")
	if !ok {
		t.Fatalf("docs/CLUSTER.md: got no block of %s", language)
	}
	return text
}

// TestDocument: the permissions that docs/CLUSTER.md gives are those that nodes and backends
// need, and no more; its message is one, and its program the one that TestBackendInPython runs.
func TestDocument(t *testing.T) {
	program, err := os.ReadFile("testdata/publish.py")
	if err != nil {
		t.Fatal(err)
	}
	if got := block(t, "python"); got != string(program) {
		t.Errorf("the program in Python: got\n%s\nwant\n%s", got, program)
	}
	t.Setenv("NODE_PASSWORD", "node-password")
	t.Setenv("BACKEND_PASSWORD", "backend-password")
	s := serveNATS(t, "-c", write(t, block(t, "conf")))
	as := func(user string) string { return strings.Replace(s.url, "//", "//"+user+":"+user+"-password@", 1) }
	var all []*Broker
	for _, name := range []string{"north", "south"} {
		all = append(all, begin(t, as("node"), Config{Node: name, Encode: encodeSaid}))
	}
	meet(t, all...)
	room := heardEncoded(t, all[0], "lobby")
	settle(t, all...)
	all[1].Nodes("x").Serve(func([]byte) []byte { return []byte("y") })
	if answers, _, err := all[0].Nodes("x").Ask(t.Context(), nil); len(answers) != 1 || err != nil {
		t.Errorf("Ask: got %q, error %v", answers, err)
	}
	var refused atomic.Int32
	nc, err := nats.Connect(as("backend"), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) { refused.Add(1) }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.Publish("usher.room.lobby", []byte(block(t, "json"))); err != nil {
		t.Fatal(err)
	}
	await(t, "the room hears it", func() bool { return slices.Equal(room.texts(), []string{"Kitchen/the kitchen is closing/"}) })
	if _, err := exec.LookPath("python3"); err == nil {
		cmd := exec.Command("python3", "testdata/publish.py", strings.TrimPrefix(s.url, "nats://"), "usher.room.lobby", `{"text":"closed","from":"Kitchen"}`)
		cmd.Env = append(os.Environ(), "NATS_USER=backend", "NATS_PASSWORD=backend-password")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("publish.py: %v\n%s", err, out)
		}
		await(t, "the room hears the program", func() bool { return len(room.texts()) == 2 && room.texts()[1] == "Kitchen/closed/" })
	}
	before := len(room.texts())
	if err := nc.Publish("usher.retain.lobby", []byte(block(t, "json"))); err != nil {
		t.Fatal(err)
	}
	await(t, "the room hears it again", func() bool { return len(room.texts()) == before+1 })
	if err := nc.Publish(subjectBeat, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.SubscribeSync("usher.room.lobby"); err != nil {
		t.Fatal(err)
	}
	await(t, "a backend may not pass for a node, or listen", func() bool { return refused.Load() == 2 })
}
