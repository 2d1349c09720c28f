//go:build linux

package api

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/usher-ws/usher/hub"
	"github.com/usher-ws/usher/server"
	"github.com/usher-ws/usher/upgrade"
)

// The refusals: docs/CODES.md lists them all.
var (
	errPath        = upgrade.Reject(http.StatusNotFound, upgrade.CodeNotFound, "There is nothing at this path: docs/API.md lists what there is.")
	errNoRooms     = upgrade.Reject(http.StatusNotFound, "no_rooms", "There are no rooms here: usher guard knows users and connections only.")
	errRoomUnknown = upgrade.Reject(http.StatusNotFound, "room_unknown", "There is no room of this name.")
	errUserUnknown = upgrade.Reject(http.StatusNotFound, "user_unknown", "The user has no connection.")
	errNotMember   = upgrade.Reject(http.StatusNotFound, "member_unknown", "The user is not in this room.")
	errConnUnknown = upgrade.Reject(http.StatusNotFound, "connection_unknown", "There is no connection of this ID: it has ended, or never was.")
	errNotBanned   = upgrade.Reject(http.StatusNotFound, "ban_unknown", "The user is not banned.")
	errNotRetained = upgrade.Reject(http.StatusNotFound, "nothing_retained", "The room has retained nothing.")
	errNobody      = upgrade.Reject(http.StatusConflict, "no_user", "The connection has no user: it came in without a token.")
	errNameTaken   = upgrade.Reject(http.StatusConflict, "name_forbidden", "Somebody in this room has a name that looks like the user's.")
	errMedia       = upgrade.Reject(http.StatusUnsupportedMediaType, "unsupported_media_type", "Send Content-Type: application/json.")
	errTooLarge    = upgrade.Reject(http.StatusRequestEntityTooLarge, "body_too_large", "The body is larger than 256 KiB.")
	errSlowBody    = upgrade.Reject(http.StatusRequestTimeout, upgrade.CodeTimeout, "The body did not end in time.")

	errRoomsOfUser = upgrade.Reject(http.StatusTooManyRequests, "rooms_per_user", "The user is in as many rooms as a user may be.").WithRetryAfter(10 * time.Second)
	errRoomsFull   = upgrade.Reject(http.StatusServiceUnavailable, "rooms_full", "Too many rooms are in use.").WithRetryAfter(10 * time.Second)
	errBusy        = upgrade.Reject(http.StatusServiceUnavailable, "busy", "There is too much to say at the moment: some may have the message, others will not get it.")
	errBansFull    = upgrade.Reject(http.StatusServiceUnavailable, "bans_full", "As many users are banned as can be.").WithRetryAfter(10 * time.Second)
	errRetainFull  = upgrade.Reject(http.StatusServiceUnavailable, "retained_full", "As much is retained as can be: say it without retain, or delete what other rooms have retained.").WithRetryAfter(10 * time.Second)
	errIDsFull     = upgrade.Reject(http.StatusServiceUnavailable, "ids_full", "Too many messages of the last two minutes had an id: say it without one, or later.").WithRetryAfter(5 * time.Second)
	errUnderWay    = upgrade.Reject(http.StatusServiceUnavailable, "in_progress", "A message with this id is being said by another node.")
	errCluster     = upgrade.Reject(http.StatusServiceUnavailable, upgrade.CodeUnavailable, "The other nodes of the cluster cannot be asked.").WithRetryAfter(2 * time.Second)
	errLoops       = upgrade.Reject(http.StatusServiceUnavailable, upgrade.CodeUnavailable, "An event loop does not answer, or the server ends.")
)

// errSilent says that nobody knows, as some that may know did not answer.
func errSilent(silent []string) error {
	return upgrade.Reject(http.StatusServiceUnavailable, upgrade.CodeUnavailable,
		fmt.Sprintf("Not found here, and these nodes have not answered: %q.", silent)).WithRetryAfter(2 * time.Second)
}

// badRequest says what is wrong with a question.
func badRequest(format string, args ...any) error {
	return upgrade.Reject(http.StatusBadRequest, upgrade.CodeBadRequest, fmt.Sprintf(format, args...))
}

// refusalOf returns what a backend is told of an error.
func refusalOf(err error) *upgrade.Rejection {
	var no *upgrade.Rejection
	switch {
	case errors.As(err, &no):
		return no
	case errors.Is(err, hub.ErrNameTaken):
		return errNameTaken
	case errors.Is(err, hub.ErrTooManyOfUser):
		return errRoomsOfUser
	case errors.Is(err, hub.ErrTooManyTopics):
		return errRoomsFull
	case errors.Is(err, hub.ErrTooManyRetained):
		return errRetainFull
	case errors.Is(err, server.ErrTooManyBans):
		return errBansFull
	case errors.Is(err, server.ErrBacklog):
		return errBusy
	}
	// Whatever else there is, it has not been done, and may be tried again: a Broker that has
	// nobody to talk to, a server that ends.
	return errCluster
}

// refusal is one as it crosses between nodes.
type refusal struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Wait   int    `json:"wait,omitempty"` // seconds
}

func refusalFrom(err error) *refusal {
	no := refusalOf(err)
	return &refusal{no.Status, no.Code, no.Detail, int(no.RetryAfter / time.Second)}
}

func (r *refusal) err() error {
	return upgrade.Reject(r.Status, r.Code, r.Detail).WithRetryAfter(time.Duration(r.Wait) * time.Second)
}
