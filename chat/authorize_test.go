//go:build linux

package chat

import (
	"context"
	"errors"
	"testing"

	"github.com/usher-ws/usher/upgrade"
)

// TestAuthorize: where only Config.Authorize says who the user is, the room is judged before
// it is asked, and the name behind.
func TestAuthorize(t *testing.T) {
	t.Parallel()
	refused := upgrade.Reject(403, "banned", "")
	asked := 0
	c, err := New(Config{Rooms: []string{"lobby"}, Authorize: func(_ context.Context, r *upgrade.Request) error {
		asked++
		switch name := string(r.RawQuery()); name {
		case "":
		case "banned":
			return refused
		default:
			r.Identity = &upgrade.Identity{Subject: name, Claims: map[string]any{"rooms": []any{"lobby"}}}
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	route := c.Route()
	u := &upgrade.Upgrader{Guards: route.Guards}
	for _, tt := range []struct {
		room, query, want string
	}{
		{"lobby", "alice", ""},
		{"lobby", "", codeNameForbidden},
		{"lobby", "Server", codeNameForbidden},
		{"lobby", "banned", "banned"},
		{"attic", "alice", codeRoomUnknown},
	} {
		asked = 0
		r := new(upgrade.Request)
		head := "GET /ws/x?" + tt.query + " HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
		if err := u.Parse([]byte(head), r); err != nil {
			t.Fatal(err)
		}
		r.SetPathValue("room", tt.room)
		_, err := u.Respond(nil, r)
		if err == nil {
			err = route.Authorize(context.Background(), r)
		}
		got := ""
		if e := new(upgrade.Rejection); errors.As(err, &e) {
			got = e.Code
		} else if err != nil {
			t.Errorf("%+v: %v", tt, err)
		}
		if got != tt.want || (asked == 1) != (tt.want != codeRoomUnknown) {
			t.Errorf("%+v: got %q, asked %d times", tt, got, asked)
		}
	}
	if c := newChat(t, Config{}); c.Route().Authorize != nil {
		t.Error("a chat without Authorize has one")
	}
}
