//go:build linux

package chat_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/usher-ws/usher/chat"
)

// refused dials, and returns the status and code of the refusal: 101 and "" for none.
func refused(t *testing.T, addr, name, room string) (status int, code string, resp *http.Response) {
	t.Helper()
	c, resp := dial(t, addr, name, room)
	if resp.StatusCode == http.StatusSwitchingProtocols {
		c.leave()
		return resp.StatusCode, "", resp
	}
	var p struct {
		Code string `json:"code"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
		t.Errorf("%q at %s: %v", name, room, err)
	}
	return resp.StatusCode, p.Code, resp
}

func wantRefused(t *testing.T, addr, name, room string, status int, code string) *http.Response {
	t.Helper()
	got, word, resp := refused(t, addr, name, room)
	if got != status || word != code {
		t.Errorf("%+q at %s: got %d %s, want %d %s", name, room, got, word, status, code)
	}
	return resp
}

// TestImpostors: a name that passes for that of a user in the room, or for the server's, does
// not get in, whatever it is made of.
func TestImpostors(t *testing.T) {
	t.Parallel()
	addr := serve(t, chat.Config{LeaveGrace: time.Hour})
	alice, tab := join(t, addr, "alice", "lobby"), join(t, addr, "alice", "lobby")
	persian := join(t, addr, "علی\u200cرضا", "lobby")
	josé := join(t, addr, "José", "lobby")
	impostors := []string{"Alice", "ALICE", "ａlice", "аlice", "𝒶lice", "alıce", "علیرضا", "Jose\u0301", "josé"}
	for i, name := range impostors {
		wantRefused(t, addr, name, "lobby", 403, "name_forbidden")
		wantRefused(t, addr, name, "r"+strconv.Itoa(i), 101, "")
	}
	for _, name := range []string{"Ѕerver", "SERVER", "Ser\u200dver", "Server:", "\u3164", "al\u00adice", "a\u202eb", "\u2800\u2800", "e\ufe0f", "\u034f"} {
		wantRefused(t, addr, name, "attic", 403, "name_forbidden")
	}
	for _, c := range []client{alice, tab, persian, josé} {
		c.leave()
	}
	for _, name := range impostors {
		wantRefused(t, addr, name, "lobby", 403, "name_forbidden") // they may be back in a moment
	}
	wantRefused(t, addr, "alice", "lobby", 101, "")
	wantRefused(t, addr, "Jose", "lobby", 101, "")
}

// TestNameIsFreeAgain: a name can be taken once its user has left.
func TestNameIsFreeAgain(t *testing.T) {
	t.Parallel()
	addr := serve(t, chat.Config{})
	alice := join(t, addr, "alice", "lobby")
	wantRefused(t, addr, "Alice", "lobby", 403, "name_forbidden")
	alice.leave()
	wantRefused(t, addr, "Alice", "lobby", 101, "")
}

// TestImpostorBehindTheDoor: of two users that the door let in together, the second is closed.
func TestImpostorBehindTheDoor(t *testing.T) {
	t.Parallel()
	app := newApp(t, chat.Config{MaxRoomsPerUser: 1})
	route := app.Route()
	route.Guards = route.Guards[:1] // Bearer, but no RoomGuard
	addr := serveApp(t, app, route)
	alice := join(t, addr, "alice", "lobby")
	for _, tt := range []struct {
		name, room string
		code       int
		reason     string
	}{
		{"ALICE", "lobby", websocket.ClosePolicyViolation, "name_forbidden"},
		{"alice", "attic", websocket.CloseTryAgainLater, "rooms_per_user"},
	} {
		c, _ := dial(t, addr, tt.name, tt.room)
		got, err := c.next()
		var e *websocket.CloseError
		if !errors.As(err, &e) || e.Code != tt.code || e.Text != tt.reason {
			t.Errorf("%s at %s: got %q, error %v; want close %d %s", tt.name, tt.room, got, err, tt.code, tt.reason)
		}
	}
	alice.say("/who")
	alice.want("Server: 1 here: alice")
	if n := app.Hub().Len(); n != 1 {
		t.Errorf("rooms in use: got %d, want 1", n)
	}
}

// TestRoomsPerUser: rooms count, not connections. A room that a user has left does not count
// any more, though the user may still be listed.
func TestRoomsPerUser(t *testing.T) {
	t.Parallel()
	addr := serve(t, chat.Config{MaxRoomsPerUser: 2, LeaveGrace: time.Hour})
	first := join(t, addr, "alice", "r1")
	join(t, addr, "alice", "r2")
	join(t, addr, "alice", "r2")
	resp := wantRefused(t, addr, "alice", "r3", 429, "rooms_per_user")
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || s < 1 {
		t.Errorf("Retry-After: got %q, want seconds", resp.Header.Get("Retry-After"))
	}
	wantRefused(t, addr, "alice", "r2", 101, "")
	wantRefused(t, addr, "bob", "r3", 101, "")
	wantRefused(t, addr, "a b", "r3", 403, "name_forbidden") // comes first
	first.leave()
	join(t, addr, "alice", "r3")
	wantRefused(t, addr, "alice", "r1", 429, "rooms_per_user")
}

// TestRoomsPerUserWithoutLimit: a negative MaxRoomsPerUser is no limit.
func TestRoomsPerUserWithoutLimit(t *testing.T) {
	t.Parallel()
	for limit, last := range map[int]int{0: 429, -1: 101} {
		addr := serve(t, chat.Config{MaxRoomsPerUser: limit})
		for i := range 100 {
			join(t, addr, "alice", "r"+strconv.Itoa(i))
		}
		if got, _, _ := refused(t, addr, "alice", "r100"); got != last {
			t.Errorf("room 101 with %d: got %d, want %d", limit, got, last)
		}
	}
}
