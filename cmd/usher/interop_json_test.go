//go:build linux

package main_test

import (
	"encoding/json"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// objects are what a client of the JSON dialect says, each with the answer.
var objects = []struct{ say, hear string }{
	{`{"type":"say","text":"hi"}`, `{"from":"alice","text":"hi","type":"message"}`},
	{`{"type":"direct","to":"alice","text":"note"}`, `{"from":"alice","text":"note","to":"alice","type":"direct"}`},
	{`{"type":"status","status":"away"}`, `{"status":"away","type":"status","user":"alice"}`},
	{`{"type":"who"}`, `{"count":1,"type":"who","users":[{"status":"away","user":"alice"}]}`},
	{`{"type":"shout"}`, `{"code":"unknown_type","detail":"there are say, direct, status and who","type":"error"}`},
}

func sayObjects() (say []string) {
	for _, o := range objects {
		say = append(say, o.say)
	}
	return say
}

// checkObjects compares what alice heard with what she should have, and with the
// schema.
func checkObjects(t *testing.T, s seen) {
	t.Helper()
	if s.Subprotocol != "chat.usher.v1+json" {
		t.Errorf("subprotocol: got %q", s.Subprotocol)
	}
	schema, err := jsonschema.NewCompiler().Compile("../../docs/chat.schema.json#/$defs/out")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`{"count":1,"type":"joined","user":"alice"}`}
	for _, o := range objects {
		want = append(want, o.hear)
	}
	if len(s.Objects) != len(want) {
		t.Fatalf("objects: got %q, want %q", s.Objects, want)
	}
	for i, raw := range s.Objects {
		var o map[string]any
		if err := json.Unmarshal(raw, &o); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(o); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
		delete(o, "at")
		if got, _ := json.Marshal(o); string(got) != want[i] {
			t.Errorf("object %d: got %s, want %s", i, got, want[i])
		}
	}
}

// TestNodeWSObjects: Node's ws speaks the JSON dialect.
func TestNodeWSObjects(t *testing.T) {
	t.Parallel()
	j := newJob(t, "alice")
	j.Sizes, j.Say = []int{}, sayObjects()
	checkObjects(t, run(t, j, node(t, "ws", "ws"), "node_ws.mjs"))
}

// TestPythonWebsocketsObjects: and so does Python's websockets.
func TestPythonWebsocketsObjects(t *testing.T) {
	t.Parallel()
	j := newJob(t, "alice")
	j.Sizes, j.Say = []int{}, sayObjects()
	checkObjects(t, run(t, j, python(t), "python_websockets.py"))
}
