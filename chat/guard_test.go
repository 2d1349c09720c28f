//go:build linux

package chat

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	gojwt "github.com/golang-jwt/jwt/v5"

	"github.com/usher-ws/usher/upgrade"
	"github.com/usher-ws/usher/upgrade/jwt"
)

var testSecret = []byte("0123456789abcdef0123456789abcdef")

// testToken returns a token with these claims, for alice and good for a minute unless they
// say otherwise.
func testToken(t *testing.T, claims gojwt.MapClaims) string {
	t.Helper()
	all := gojwt.MapClaims{"sub": "alice", "exp": time.Now().Add(time.Minute).Unix()}
	for k, v := range claims {
		all[k] = v
	}
	s, err := gojwt.NewWithClaims(gojwt.SigningMethodHS256, all).SignedString(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// newChat returns a chat behind a guard that knows testSecret.
func newChat(t *testing.T, config Config) *Chat {
	t.Helper()
	keys, err := jwt.HS256(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	config.Guards = []upgrade.Guard{upgrade.Bearer(keys)}
	c, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// knock returns what the chat's guards answer to an upgrade or a probe.
func knock(t *testing.T, c *Chat, room, token string, probe bool) error {
	t.Helper()
	head := "GET /ws/x HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + token + "\r\n"
	if probe {
		head += "Accept: application/problem+json\r\n\r\n"
	} else {
		head += "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	}
	u := upgrade.Upgrader{Guards: c.Route().Guards}
	var r upgrade.Request
	if err := u.Parse([]byte(head), &r); err != nil {
		t.Fatal(err)
	}
	r.SetPathValue("room", room)
	_, err := u.Respond(nil, &r)
	return err
}

// status returns the status and code of the answer that err stands for.
func status(err error) (int, string) {
	var rej *upgrade.Rejection
	switch {
	case err == nil:
		return http.StatusSwitchingProtocols, ""
	case errors.Is(err, upgrade.ErrProbe):
		return http.StatusOK, upgrade.CodeOK
	case errors.As(err, &rej):
		return rej.Status, rej.Code
	}
	return 0, err.Error()
}

func TestRoomGuard(t *testing.T) {
	const anyRoom, listed = false, true
	tests := []struct {
		name   string
		listed bool
		room   string
		claims gojwt.MapClaims
		status int
		code   string
	}{
		{"any room", anyRoom, "attic", nil, 101, ""},
		{"a listed room", listed, "lobby", nil, 101, ""},
		{"a room that is not listed", listed, "attic", nil, 404, "room_unknown"},
		{"no room's name", anyRoom, "a.b", nil, 404, "room_unknown"},
		{"an empty name", anyRoom, "", nil, 404, "room_unknown"},
		{"too long a name", anyRoom, strings.Repeat("x", 65), nil, 404, "room_unknown"},
		{"an expired token and an unknown room", listed, "attic", gojwt.MapClaims{"exp": 1}, 401, "token_expired"},

		{"a claim with the room", anyRoom, "lobby", gojwt.MapClaims{"rooms": []string{"attic", "lobby"}}, 101, ""},
		{"a claim without it", anyRoom, "lobby", gojwt.MapClaims{"rooms": []string{"attic", "lobbyx"}}, 403, "room_forbidden"},
		{"no rooms", anyRoom, "lobby", gojwt.MapClaims{"rooms": []string{}}, 403, "room_forbidden"},
		{"a claim of null", anyRoom, "lobby", gojwt.MapClaims{"rooms": nil}, 403, "room_forbidden"},
		{"a claim of a string", anyRoom, "lobby", gojwt.MapClaims{"rooms": "lobby"}, 403, "room_forbidden"},
		{"a claim of mixed types", anyRoom, "lobby", gojwt.MapClaims{"rooms": []any{"lobby", 1}}, 403, "room_forbidden"},
		{"unknown before forbidden", listed, "attic", gojwt.MapClaims{"rooms": []string{}}, 404, "room_unknown"},

		{"a name with a space", anyRoom, "lobby", gojwt.MapClaims{"sub": "a b"}, 403, "name_forbidden"},
		{"the server's name", anyRoom, "lobby", gojwt.MapClaims{"sub": "server"}, 403, "name_forbidden"},
		{"room before name", anyRoom, "lobby", gojwt.MapClaims{"sub": "a b", "rooms": []string{}}, 403, "room_forbidden"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var config Config
			if tt.listed {
				config.Rooms = []string{"lobby", "cellar"}
			}
			c, token := newChat(t, config), testToken(t, tt.claims)
			if got, code := status(knock(t, c, tt.room, token, false)); got != tt.status || code != tt.code {
				t.Errorf("upgrade: got %d %s, want %d %s", got, code, tt.status, tt.code)
			}
			want, wantCode := tt.status, tt.code
			if want == http.StatusSwitchingProtocols {
				want, wantCode = http.StatusOK, upgrade.CodeOK
			}
			if got, code := status(knock(t, c, tt.room, token, true)); got != want || code != wantCode {
				t.Errorf("probe: got %d %s, want %d %s", got, code, want, wantCode)
			}
			if n := c.hub.Len(); n != 0 {
				t.Errorf("rooms made by knocking: got %d, want 0", n)
			}
		})
	}
}

func TestRoomGuardWithoutBearer(t *testing.T) {
	c := newChat(t, Config{})
	u := upgrade.Upgrader{Guards: []upgrade.Guard{c.RoomGuard()}}
	var r upgrade.Request
	if err := u.Parse([]byte("GET / HTTP/1.1\r\nHost: h\r\nAccept: application/problem+json\r\n\r\n"), &r); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Respond(nil, &r); !errors.Is(err, errNoIdentity) {
		t.Errorf("got %v, want %v", err, errNoIdentity)
	}
}

// TestRoomsAreBounded: by MaxRooms if clients choose the names, and otherwise by the list.
func TestRoomsAreBounded(t *testing.T) {
	if got := newChat(t, Config{}).hub.MaxTopics; got != MaxRooms {
		t.Errorf("any room: got at most %d, want %d", got, MaxRooms)
	}
	if got := newChat(t, Config{Rooms: []string{"lobby"}}).hub.MaxTopics; got != 0 {
		t.Errorf("listed rooms: got at most %d, want no other bound than the list", got)
	}
}

func TestNewRefuses(t *testing.T) {
	guards := newChat(t, Config{}).front.Load().config.Guards
	for name, config := range map[string]Config{
		"no guard":              {},
		"a bad room":            {Guards: guards, Rooms: []string{"lobby", "a b"}},
		"an origin with a path": {Guards: guards, Origins: []string{"https://friend.example/"}},
		"an unknown log-in":     {Guards: guards, LogIn: "oauth"},
	} {
		if c, err := New(config); err == nil {
			t.Errorf("%s: got %v, want an error", name, c)
		}
	}
}
