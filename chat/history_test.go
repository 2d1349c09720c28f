//go:build linux

package chat_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/usher-ws/usher/chat"
)

// TestHistory: a member that joins is told what was last said to the room, and nothing else
// that happened.
func TestHistory(t *testing.T) {
	t.Parallel()
	addr := serve(t, chat.Config{History: 3})
	alice := dialJSON(t, addr, "alice", "lobby")
	alice.wantObjects(`{"count":1,"type":"joined","user":"alice"}`) // and no history
	alice.send(`{"type":"say","text":"a\"<b>"}`)
	alice.send(`{"type":"status","status":"away"}`)
	alice.send(`{"type":"direct","to":"alice","text":"secret"}`)
	bob := join(t, addr, "bob", "lobby")
	bob.say("//me")
	for range 4 {
		alice.hear()
	}
	alice.wantObjects(`{"from":"bob","text":"/me","type":"message"}`)

	carol := dialJSON(t, addr, "carol", "lobby")
	told := carol.hear()
	messages, _ := told["messages"].([]any)
	for _, m := range messages {
		delete(m.(map[string]any), "at") // the schema wants it
	}
	if want := `{"messages":[{"from":"alice","text":"a\"\u003cb\u003e"},{"from":"bob","text":"/me"}],"type":"history"}`; told.String() != want {
		t.Errorf("got %s, want %s", told, want)
	}
	carol.wantObjects(`{"count":3,"type":"joined","user":"carol"}`)
	carol.send(`{"type":"say","text":"1"}`)
	carol.send(`{"type":"say","text":"2"}`)
	carol.wantObjects(`{"from":"carol","text":"1","type":"message"}`, `{"from":"carol","text":"2","type":"message"}`)

	dora, _ := dial(t, addr, "dora", "lobby")
	want := []string{"bob: /me", "carol: 1", "carol: 2"}
	if got := dora.until("Server: dora has joined the chat"); !slices.Equal(got, want) {
		t.Errorf("got %q, want the last 3: %q", got, want)
	}
}

// TestHistoryEndsWithTheRoom: the first user in an empty room finds a new one.
func TestHistoryEndsWithTheRoom(t *testing.T) {
	t.Parallel()
	app := newApp(t, chat.Config{})
	addr := serveApp(t, app, app.Route())
	alice := join(t, addr, "alice", "lobby")
	for i := range 60 {
		alice.say(fmt.Sprint(i))
	}
	alice.until("alice: 59")
	bob, _ := dial(t, addr, "bob", "lobby")
	if got := bob.until("Server: bob has joined the chat"); len(got) != 50 || got[0] != "alice: 10" || got[49] != "alice: 59" {
		t.Errorf("got %q, want the last 50", got)
	}
	bob.leave()
	alice.leave()
	carol, _ := dial(t, addr, "carol", "lobby")
	carol.want("Server: carol has joined the chat")
}

// TestNoHistory: a negative History is none.
func TestNoHistory(t *testing.T) {
	t.Parallel()
	addr := serve(t, chat.Config{History: -1})
	alice := join(t, addr, "alice", "lobby")
	alice.say("hi")
	alice.want("alice: hi")
	bob, _ := dial(t, addr, "bob", "lobby")
	bob.want("Server: bob has joined the chat")
}
