//go:build linux

package chat_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/usher-ws/usher/chat"
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/upgrade"
)

// TestEncode: what a program says, members hear in their dialects, in order with the rest, and
// members that join later in the history.
func TestEncode(t *testing.T) {
	t.Parallel()
	app := newApp(t, chat.Config{})
	addr := serveApp(t, app, app.Route())
	alice, bob := join(t, addr, "alice", "lobby"), dialJSON(t, addr, "bob", "lobby")
	bob.wantObjects(`{"count":2,"type":"joined","user":"bob"}`)
	alice.want("Server: bob has joined the chat")
	for _, m := range []struct{ from, text, value string }{
		{"", "maintenance at noon", ""},
		{"shop", "a \u202eturned", ""},
		{"Server", "", ` { "score": [ 1, 2 ], "by": "a\u2028<b>` + "\u202e\u2028\u0085" + `" } `},
		{"shop", "", "null"},
	} {
		var value []byte
		if m.value != "" {
			value = []byte(m.value)
		}
		encode, err := app.Encode(m.from, m.text, value)
		if err != nil {
			t.Fatalf("%+v: %v", m, err)
		}
		clear(value) // it is ours again
		if err := app.Hub().RecordFunc("lobby", frame.OpText, encode); err != nil {
			t.Fatal(err)
		}
	}
	const escaped = `{"score":[1,2],"by":"a\u2028<b>\u202e\u2028\u0085"}`
	plain := []string{"Server: maintenance at noon", "shop: a \u202eturned\u202c", "Server: " + escaped, "shop: null"}
	alice.want(plain...)
	bob.wantObjects(`{"from":"Server","text":"maintenance at noon","type":"message"}`,
		`{"from":"shop","text":"a `+"\u202e"+`turned`+"\u202c"+`","type":"message"}`,
		`{"from":"Server","json":{"by":"a\u2028\u003cb\u003e`+"\u202e"+`\u2028`+"\u0085"+`","score":[1,2]},"type":"data"}`,
		`{"from":"shop","json":null,"type":"data"}`)

	carl, resp := dial(t, addr, "carl", "lobby")
	if resp.StatusCode != 101 {
		t.Fatal(resp.Status)
	}
	carl.want(plain...)
	dora := dialJSON(t, addr, "dora", "lobby")
	past := dora.hear()
	if past["type"] != "history" || len(past["messages"].([]any)) != 4 {
		t.Errorf("the history: %v", past)
	}
	var want any
	_ = json.Unmarshal([]byte(escaped), &want)
	if third := past["messages"].([]any)[2].(map[string]any); third["type"] != nil || !reflect.DeepEqual(third["json"], want) {
		t.Errorf("a value in the history: %v", third)
	}
}

// TestEncodeRefuses: by the rules for members, but for the name.
func TestEncodeRefuses(t *testing.T) {
	app := newApp(t, chat.Config{})
	for _, tt := range []struct{ from, text, value, code string }{
		{"sеrvеr", "x", "", "name_forbidden"}, // with Cyrillic letters
		{"SERVER", "x", "", "name_forbidden"},
		{"two words", "x", "", "name_forbidden"},
		{"", "", "", "bad_field"},
		{"", " \u200b", "", "bad_field"},
		{"", "two\nlines", "", "control_characters"},
		{"", "\xff", "", "bad_field"},
		{"", strings.Repeat("ä", 4097), "", "too_long"},
		{"", "both", "1", "bad_field"},
		{"", "", "{", "bad_json"},
		{"", "", " ", "bad_json"},
		{"", "", "1 2", "bad_json"},
		{"", "", "\"\xff\"", "bad_field"},
		{"", "", `"` + strings.Repeat("x", 64<<10) + `"`, "too_long"},
	} {
		var value []byte
		if tt.value != "" {
			value = []byte(tt.value)
		}
		encode, err := app.Encode(tt.from, tt.text, value)
		var e *upgrade.Rejection
		if !errors.As(err, &e) || e.Status != 400 || e.Code != tt.code || encode != nil {
			t.Errorf("%.20q, %.20q, %.20q: got %v, want %s", tt.from, tt.text, tt.value, err, tt.code)
		}
	}
	for _, text := range []string{strings.Repeat("ä", 4096), "\t."} {
		if _, err := app.Encode("", text, nil); err != nil {
			t.Errorf("%.10q: %v", text, err)
		}
	}
}

// TestPutOut: a member that a program has taken out of the room is told so when it speaks.
func TestPutOut(t *testing.T) {
	t.Parallel()
	app := newApp(t, chat.Config{LeaveGrace: 0})
	addr := serveApp(t, app, app.Route())
	alice, bob := join(t, addr, "alice", "lobby"), dialJSON(t, addr, "bob", "lobby")
	bob.wantObjects(`{"count":2,"type":"joined","user":"bob"}`)
	alice.want("Server: bob has joined the chat")
	if n := app.Hub().LeaveUser("lobby", "bob"); n != 1 {
		t.Fatalf("LeaveUser: got %d, want 1", n)
	}
	alice.want("Server: bob has left the chat")
	bob.send(`{"type":"say","text":"hi","id":"7"}`)
	bob.wantObjects(`{"code":"not_in_room","detail":"you are not in this room any more: your message was not sent","id":"7","type":"error"}`)
	app.Hub().LeaveUser("lobby", "alice")
	alice.say("hi")
	alice.want("Server: you are not in this room any more: your message was not sent")
	if app.Hub().Len() != 0 || !app.HasRoom("lobby") || app.HasRoom("no room") {
		t.Error("the room is in use, or unknown")
	}
}
