//go:build linux

package chat

import (
	"errors"
	"fmt"
	"time"

	"github.com/usher-ws/usher/hub"
)

// The codes of the errors that members are told: as stable as those of the door.
const (
	codeBadJSON           = "bad_json"
	codeUnknownType       = "unknown_type"
	codeBadField          = "bad_field"
	codeTooLong           = "too_long"
	codeControlCharacters = "control_characters"
	codeUserUnknown       = "user_unknown"
	codeUserAway          = "user_away"
	codeUserUnreachable   = "user_unreachable"
	codeNotInRoom         = "not_in_room"
	codeRoomBusy          = "room_busy"
	codeRateLimited       = "rate_limited"

	codeMalformed = "malformed_messages" // not an error but the end: see maxMalformed
)

// fault is the event that tells members, and them alone, what is wrong with what they said.
type fault struct {
	Type         string `json:"type"`
	Code         string `json:"code"`
	Detail       string `json:"detail"`
	RetryAfterMS int64  `json:"retry_after_ms,omitempty"` // after which the same would pass
	ID           string `json:"id,omitempty"`

	hint string // for people who type commands
}

func newFault(code, detail string) *fault {
	return &fault{Type: typeError, Code: code, Detail: detail}
}

// answering returns a copy of e that answers the request with this id.
func (e *fault) answering(id string) *fault {
	answer := *e
	answer.ID = id
	return &answer
}

func (e *fault) line() string { return serverPrefix + e.Detail + e.hint }

var (
	faultBusy = newFault(codeRoomBusy,
		"the room is too busy: your message may not have reached everybody")
	faultOut = newFault(codeNotInRoom,
		"you are not in this room any more: your message was not sent")
	faultControl = newFault(codeControlCharacters,
		"your message was not sent: it has control characters in it")
	faultBlank = newFault(codeBadField,
		"your message was not sent: there is nothing to see in it")
	faultNameless = newFault(codeBadField,
		"your message was not sent: there is nothing to see in the name")
)

// tooLong says how long something may be.
func tooLong(what string, most int) *fault {
	return newFault(codeTooLong, fmt.Sprintf("a %s has at most %d characters", what, most))
}

// nobody says that there is no such user in the room.
func nobody(name string) *fault {
	f := newFault(codeUserUnknown, closed(name)+" is not in this room")
	f.hint = "; /who tells who is"
	return f
}

// away says that a user, whom /who still lists, cannot be told anything.
func away(name string) *fault {
	return newFault(codeUserAway, name+" is reconnecting or just leaving: your message was not sent; try again in a moment")
}

// unreachable says that a user is, or may be, at a node that says nothing.
func unreachable(name string) *fault {
	return newFault(codeUserUnreachable, closed(name)+" may be at a server that does not answer: your message may not have arrived")
}

// undelivered says what is wrong with a message that n connections of a user have, nil if nothing is.
func undelivered(to string, n int, err error) *fault {
	switch {
	case errors.Is(err, hub.ErrAway):
		return away(to)
	case errors.Is(err, hub.ErrSilent), errors.Is(err, hub.ErrDegraded):
		return unreachable(to)
	case err != nil:
		return faultBusy
	case n == 0: // or left just now
		return nobody(to)
	}
	return nil
}

const slowDown = "Rate limit exceeded. Please slow down."

// tooFast is for a member that was over the rate.
func tooFast(wait time.Duration) *fault {
	f := newFault(codeRateLimited, slowDown)
	f.RetryAfterMS = int64((wait + time.Millisecond - 1) / time.Millisecond)
	return f
}
