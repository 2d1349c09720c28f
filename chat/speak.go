//go:build linux

package chat

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub"
)

const (
	// maxWho bounds the answer to who: 100 names of 64 characters are a few KiB.
	maxWho = 100

	// maxStatus is the longest status, in characters: it is repeated to everybody
	// who asks who is there.
	maxStatus = 64

	// maxText is the longest text in the JSON dialect, in characters. In the plain
	// one it is the server's MaxMessage that says.
	maxText = 4096

	// maxID is the longest id of a request, in characters.
	maxID = 64
)

// The dialects, as the hub counts them.
const (
	plain = iota
	jsonDialect
	dialects
)

// speaker is a member and their own ear. It belongs to the connection's loop.
type speaker struct {
	*hub.Member
	malformed int // messages in a row that were not of the dialect
}

// hear acts on one message. b is the caller's again when it returns; an error is
// the end of the connection.
func (s *speaker) hear(b []byte) error {
	if s.Dialect() == jsonDialect {
		return s.hearObject(b)
	}
	s.hearLine(string(b))
	return nil
}

// say says text to everybody in the room, the speaker included; if it is blank,
// to nobody. What becomes of a member that is slow or gone is the hub's to decide;
// an error means that the room as a whole takes no more at the moment. id, here and
// below, comes back to the client; "" for none.
func (s *speaker) say(text, id string) {
	if strings.TrimSpace(text) == "" {
		return
	}
	line, object := encode(message{typeMessage, s.User(), text, now(), id})
	if err := s.Topic().Record(frame.OpText, line, object); err != nil {
		s.tell(faultBusy.answering(id))
	}
}

// direct sends a text to all connections of one user of the room, and to those of
// the speaker, who see the same; to nobody else.
func (s *speaker) direct(name, text, id string) {
	line, object := encode(direct{typeDirect, s.User(), name, text, now(), id})
	n, _ := s.Topic().Direct(name, frame.OpText, line, object)
	if n == 0 {
		s.tell(nobody(name).answering(id))
		return
	}
	if name != s.User() {
		_, _ = s.Topic().Direct(s.User(), frame.OpText, line, object)
	}
}

// status keeps the speaker's status, and tells the room.
func (s *speaker) status(text, id string) {
	if utf8.RuneCountInString(text) > maxStatus {
		s.tell(faultStatus.answering(id))
		return
	}
	s.SetStatus(text)
	announce(s.Topic(), changed{typeStatus, s.User(), text, id})
}

// who tells the speaker who is in the room.
func (s *speaker) who(id string) {
	some, total := s.Topic().Presence(maxWho)
	users := make([]present, len(some))
	for i, p := range some {
		users[i] = present(p)
	}
	s.tell(who{typeWho, users, total, id})
}

// tell tells the speaker alone. When that fails the connection is ending or will be
// ended by its outbox; its Close callback does what there is to do.
func (s *speaker) tell(e event) {
	line, object := encode(e)
	_ = s.Send(frame.OpText, line, object)
}

func now() int64 { return time.Now().UnixMilli() }
