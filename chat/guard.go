//go:build linux

package chat

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/usher-ws/usher/hub"
	"github.com/usher-ws/usher/upgrade"
)

// The codes of this door's refusals: as stable as those of package upgrade.
const (
	codeRoomUnknown   = "room_unknown"
	codeRoomForbidden = "room_forbidden"
	codeNameForbidden = "name_forbidden"
	codeRoomsPerUser  = "rooms_per_user"
	codeRoomsFull     = "rooms_full"
)

var (
	rejectUnknown = upgrade.Reject(http.StatusNotFound, codeRoomUnknown,
		"There is no room of this name.")
	rejectRoom = upgrade.Reject(http.StatusForbidden, codeRoomForbidden,
		"Your token does not open this room.")
	rejectName = upgrade.Reject(http.StatusForbidden, codeNameForbidden,
		"The subject of your token cannot be a name here: it takes 1 to 64 visible characters, no space, and nothing that reads as \"Server\".")
	rejectNobody = upgrade.Reject(http.StatusForbidden, codeNameForbidden,
		"You were let in without a name, and the chat needs one.")
	rejectTaken = upgrade.Reject(http.StatusForbidden, codeNameForbidden,
		"Somebody in this room has a name that looks like the subject of your token.")
	rejectMore = upgrade.Reject(http.StatusTooManyRequests, codeRoomsPerUser,
		"You are in as many rooms as you may be at once. Leave one of them first.").WithRetryAfter(10 * time.Second)
	// A room is free again when its last member goes: seconds, not hours.
	rejectFull = upgrade.Reject(http.StatusServiceUnavailable, codeRoomsFull,
		"Too many rooms are in use. Join one of them, or come back later.").WithRetryAfter(10 * time.Second)
)

// errNoIdentity says that the guard before this one was forgotten: a 500, and a line in the
// log.
var errNoIdentity = errors.New("chat: RoomGuard needs an identity: put a guard like upgrade.Bearer before it")

// RoomGuard returns the guard that lets a user into the room that the path value "room"
// names, if the token opens it. It goes after the guard that reads the token. It only looks
// and changes nothing, so a probe gets the same answer. If only Config.Authorize says who the
// user is, the guard knows no more than the room.
func (c *Chat) RoomGuard() upgrade.Guard {
	return upgrade.Guard{Name: "room", OnBeforeUpgrade: func(r *upgrade.Request) (http.Header, error) {
		room := r.PathValue("room")
		switch {
		case r.Identity != nil:
			return nil, c.admit(room, r.Identity)
		case c.ask == nil:
			return nil, errNoIdentity
		case !c.knows(room):
			return nil, rejectUnknown
		}
		return nil, nil
	}}
}

// authorize asks Config.Authorize, and judges as whom it lets in.
func (c *Chat) authorize(ctx context.Context, r *upgrade.Request) error {
	judged := r.Identity
	if err := c.ask(ctx, r); err != nil {
		return err
	}
	switch r.Identity {
	case nil:
		return rejectNobody
	case judged:
		return nil
	}
	return c.admit(r.PathValue("room"), r.Identity)
}

// admit says why id may not join the room now. Reasons that waiting does not change come
// first, and those that concern other users last.
func (c *Chat) admit(room string, id *upgrade.Identity) error {
	switch {
	case !c.knows(room):
		return rejectUnknown
	case !opens(id.Claims, room):
		return rejectRoom
	case !ValidName(id.Subject):
		return rejectName
	}
	switch err := c.hub.MayJoin(room, id.Subject); {
	case errors.Is(err, hub.ErrNameTaken):
		return rejectTaken
	case errors.Is(err, hub.ErrTooManyOfUser):
		return rejectMore
	case err != nil:
		return rejectFull
	}
	return nil
}

// knows reports whether a room of this name can exist.
func (c *Chat) knows(room string) bool {
	if c.listed != nil {
		return c.listed[room]
	}
	return ValidRoom(room)
}

// opens reports whether the claim "rooms" opens the room. If it is absent, all rooms are
// open, and none if it is not a list of strings.
func opens(claims map[string]any, room string) bool {
	claim, claimed := claims["rooms"]
	if !claimed {
		return true
	}
	list, ok := claim.([]any)
	if !ok {
		return false
	}
	for _, v := range list {
		if _, ok := v.(string); !ok {
			return false
		}
	}
	return slices.Contains(list, any(room))
}
