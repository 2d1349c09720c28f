//go:build linux

package chat_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/usher-ws/usher/chat"
	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/server"
)

// TestTutorial walks through the tutorial behind its log-in: connect, say something, be
// too loud, and be told so.
func TestTutorial(t *testing.T) {
	t.Parallel()
	addr := serve(t, chat.Config{Limits: server.Limits{Messages: limiter.Rate{Limit: 10. / 60, Burst: 10}}})
	alice := join(t, addr, "alice", "lobby")
	for i := range 10 {
		alice.say(fmt.Sprint("hello ", i))
		alice.want(fmt.Sprint("alice: hello ", i))
	}
	alice.say("too much")
	alice.want(chat.SlowDown)
	if chat.SlowDown != "Server: Rate limit exceeded. Please slow down." {
		t.Errorf("the warning is %q", chat.SlowDown)
	}
	// The warning is for alice alone, and what she said above the rate reached nobody.
	bob := join(t, addr, "bob", "lobby")
	bob.say("hi")
	bob.want("bob: hi")
	alice.want("Server: bob has joined the chat", "bob: hi")
}

func TestConversation(t *testing.T) {
	t.Parallel()
	addr := serve(t, chat.Config{})
	alice, bob := join(t, addr, "alice", "lobby"), join(t, addr, "bob", "lobby")
	alice.want("Server: bob has joined the chat")
	alice.say("hi")
	alice.want("alice: hi")
	bob.want("alice: hi")
	bob.say("/msg alice psst")
	bob.want("bob to alice (private): psst")
	alice.want("bob to alice (private): psst")
	bob.say("/status away")
	bob.want("Server: bob is away")
	alice.want("Server: bob is away")
	alice.say("/who")
	alice.want("Server: 2 here: alice, bob (away)")
	alice.say("/dance")
	if got, err := alice.next(); err != nil || !strings.HasPrefix(got, "Server: unknown command /dance") {
		t.Errorf("got %q, error %v", got, err)
	}
	alice.say("//dance")
	alice.want("alice: /dance")
	bob.want("alice: /dance") // and nothing of what was private
	bob.leave()
	alice.want("Server: bob has left the chat")
}

// TestVanish: a member whose connection ends without a close frame has left too.
func TestVanish(t *testing.T) {
	t.Parallel()
	addr := serve(t, chat.Config{})
	alice, bob := join(t, addr, "alice", "lobby"), join(t, addr, "bob", "lobby")
	alice.want("Server: bob has joined the chat")
	bob.NetConn().Close()
	alice.want("Server: bob has left the chat")
}

func TestRoomsAreApart(t *testing.T) {
	t.Parallel()
	addr := serve(t, chat.Config{})
	alice, bob := join(t, addr, "alice", "attic"), join(t, addr, "bob", "cellar")
	alice.say("hi")
	alice.want("alice: hi")
	alice.say("/msg bob hi")
	alice.want("Server: bob is not in this room; /who tells who is")
	bob.say("ho")
	bob.want("bob: ho")
	alice.say("/who")
	alice.want("Server: 1 here: alice")
}

func TestAllTabsHear(t *testing.T) {
	t.Parallel()
	addr := serve(t, chat.Config{})
	bob, tab1, tab2 := join(t, addr, "bob", "lobby"), join(t, addr, "alice", "lobby"), join(t, addr, "alice", "lobby")
	bob.want("Server: alice has joined the chat")
	bob.say("/msg alice hi")
	for _, c := range []client{bob, tab1, tab2} {
		c.want("bob to alice (private): hi")
	}
}

func TestBinaryIsClosed(t *testing.T) {
	t.Parallel()
	alice := join(t, serve(t, chat.Config{}), "alice", "lobby")
	if err := alice.WriteMessage(websocket.BinaryMessage, []byte("hi")); err != nil {
		t.Fatal(err)
	}
	alice.wantClose(websocket.CloseUnsupportedData)
}

func TestDoor(t *testing.T) {
	t.Parallel()
	addr := serve(t, chat.Config{Rooms: []string{"lobby", "cellar"}})
	for _, tt := range []struct {
		room   string
		rooms  []string
		status int
		code   string
	}{
		{"attic", nil, 404, "room_unknown"},
		{"cellar", []string{"lobby"}, 403, "room_forbidden"},
		{"lobby", []string{}, 403, "room_forbidden"},
		{"lobby", []string{"lobby"}, 101, ""},
	} {
		_, resp := dial(t, addr, "alice", tt.room, tt.rooms...)
		var p struct {
			Status int    `json:"status"`
			Code   string `json:"code"`
		}
		if resp.StatusCode != http.StatusSwitchingProtocols {
			if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || p.Status != tt.status {
				t.Errorf("%s, token for %q: got body %+v, error %v", tt.room, tt.rooms, p, err)
			}
		}
		if resp.StatusCode != tt.status || p.Code != tt.code {
			t.Errorf("%s, token for %q: got %d %s, want %d %s", tt.room, tt.rooms, resp.StatusCode, p.Code, tt.status, tt.code)
		}
	}
}

// TestRoomsFull: one room too many is refused at the door, until a room is empty.
func TestRoomsFull(t *testing.T) {
	t.Parallel()
	app := newApp(t, chat.Config{})
	app.Hub().MaxTopics = 1
	addr := serveApp(t, app, app.Route())
	alice := join(t, addr, "alice", "attic")
	_, resp := dial(t, addr, "bob", "cellar")
	var p struct {
		Code string `json:"code"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusServiceUnavailable || p.Code != "rooms_full" {
		t.Errorf("one room more: got %d %s, want 503 rooms_full", resp.StatusCode, p.Code)
	}
	if resp.Header.Get("Retry-After") == "" {
		t.Error("one room more: got no time to come back, want Retry-After")
	}
	join(t, addr, "bob", "attic").leave()
	alice.leave()
	join(t, addr, "bob", "cellar")
}

// TestRoomsFullBehindTheDoor: of two users that the door let in together, the second is
// closed.
func TestRoomsFullBehindTheDoor(t *testing.T) {
	t.Parallel()
	app := newApp(t, chat.Config{})
	app.Hub().MaxTopics = 1
	route := app.Route()
	route.Guards = route.Guards[:1] // Bearer, but no RoomGuard
	addr := serveApp(t, app, route)
	join(t, addr, "alice", "attic")
	bob, _ := dial(t, addr, "bob", "cellar")
	got, err := bob.next()
	var e *websocket.CloseError
	if !errors.As(err, &e) || e.Code != websocket.CloseTryAgainLater || e.Text != "rooms_full" {
		t.Errorf("got %q, error %v; want close 1013 rooms_full", got, err)
	}
}

// TestSlowMember: a member that reads nothing does not keep the others from talking, and is
// closed in the end.
func TestSlowMember(t *testing.T) {
	t.Parallel()
	addr := serve(t, chat.Config{})
	alice, bob := join(t, addr, "alice", "lobby"), join(t, addr, "bob", "lobby")
	alice.want("Server: bob has joined the chat")
	sleeper := join(t, addr, "sleeper", "lobby")
	for _, c := range []client{alice, bob} {
		c.want("Server: sleeper has joined the chat")
	}
	// More than the kernel and the server's backlog hold for one connection.
	text := strings.Repeat("𝖝", 4096)
	left := false
	hear := func(c client, want string) {
		t.Helper()
		got, err := c.next()
		if got == "Server: sleeper has left the chat" {
			left = true
			got, err = c.next()
		}
		if err != nil || got != want {
			t.Fatalf("got %.80q, error %v; want %.80q", got, err, want)
		}
	}
	for i := 0; i < 4000 && !left; i++ {
		alice.say(text)
		hear(alice, "alice: "+text)
		hear(bob, "alice: "+text)
	}
	if !left {
		t.Error("sleeper is still there after 64 MB it did not read")
	}
	sleeper.NetConn().Close()
	alice.say("still here")
	hear(bob, "alice: still here")
}
