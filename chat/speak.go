//go:build linux

package chat

import (
	"time"
	"unicode/utf8"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub"
	"github.com/usher-ws/usher/server"
)

const (
	// maxWho bounds the answer to who: 100 names of 64 characters are a few KiB.
	maxWho = 100

	// maxStatus is the longest status, in characters: every answer to who repeats it.
	maxStatus = 64

	// maxText is the longest text, in characters.
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

// speaker is one connection of a member, which speaks and hears. It is made for each message
// and belongs to the connection's loop.
type speaker struct {
	*hub.Member
	conn server.Conn
}

// hear acts on one message. b is valid until hear returns. An error ends the connection.
func (s speaker) hear(b []byte) error {
	if s.Dialect() == jsonDialect {
		return s.hearObject(b)
	}
	s.hearLine(string(b))
	return nil
}

// request is what a member asks for in either dialect, with the fields of its kind. id is
// the client's own name for it, which comes back in the answer; "" if there is none.
type request struct {
	kind, id, to, text, status string
}

// The kinds of requests, as the JSON dialect calls them.
const (
	kindSay    = "say"
	kindDirect = "direct"
	kindStatus = "status"
	kindWho    = "who"
)

// act does what a request asks for, or tells the speaker what is wrong with it.
func (s speaker) act(r request) {
	if f := r.flaw(); f != nil {
		s.tell(f.answering(r.id))
		return
	}
	switch r.kind {
	case kindSay:
		s.say(r.text, r.id)
	case kindDirect:
		s.direct(r.to, r.text, r.id)
	case kindStatus:
		s.status(r.status, r.id)
	case kindWho:
		s.who(r.id)
	}
}

// flaw returns what is wrong with the values of a request's fields. A status may be blank,
// which clears it.
func (r request) flaw() *fault {
	switch {
	case longer(r.to, maxName):
		return tooLong("name", maxName)
	case longer(r.text, maxText):
		return tooLong("text", maxText)
	case longer(r.status, maxStatus):
		return tooLong("status", maxStatus)
	case !printable(r.to + r.text + r.status):
		return faultControl
	case r.kind == kindDirect && blank(r.to):
		return faultNameless
	case (r.kind == kindSay || r.kind == kindDirect) && blank(r.text):
		return faultBlank
	}
	return nil
}

// longer reports whether s has more than n characters.
func longer(s string, n int) bool { return len(s) > n && utf8.RuneCountInString(s) > n }

// say says text to everybody in the room, the speaker included. The hub decides what
// happens to a member that is slow or gone; an error means that the room as a whole takes no
// more at the moment. A node that has lost the others goes on: what it says is heard here.
func (s speaker) say(text, id string) {
	e := message{typeMessage, s.User(), closed(text), now(), id}
	if err := s.Topic().RecordFunc(frame.OpText, encoder(e)); err != nil && err != hub.ErrDegraded { // alone, not joined with another
		s.tell(faultBusy.answering(id))
	}
}

// direct sends a text to all connections of one user in the room and to all of the
// speaker's, which see the same, and to nobody else: at all nodes. What has become of it is known
// when these have said so.
func (s speaker) direct(name, text, id string) {
	room := s.Topic()
	to, known := room.User(name)
	if !known {
		to = name // of a large room nodes tell no names: then it is the very name, or nobody's
	}
	e := direct{typeDirect, s.User(), to, closed(text), now(), id}
	room.DirectEverywhere(to, frame.OpText, encoder(e), func(n int, err error) {
		if f := undelivered(to, n, err); f != nil {
			s.tell(f.answering(id))
		}
		if n > 0 && to != s.User() {
			room.DirectEverywhere(s.User(), frame.OpText, encoder(e), nil)
		}
	})
}

// status keeps the speaker's status, and tells the room.
func (s speaker) status(text, id string) {
	if blank(text) {
		text = ""
	}
	text = closed(text)
	s.SetStatus(text)
	announce(s.Topic(), changed{typeStatus, s.User(), text, id})
}

// who tells the speaker which users are in the room.
func (s speaker) who(id string) {
	some, total := s.Topic().Presence(maxWho)
	users := make([]present, len(some))
	for i, p := range some {
		users[i] = present(p)
	}
	s.tell(who{typeWho, users, total, id})
}

// tell tells the speaker alone. If that fails, the connection is ending or its outbox will
// end it; the Close callback does the rest.
func (s speaker) tell(e event) {
	_ = s.Send(frame.OpText, encode(e, s.Dialect()))
}

func now() int64 { return time.Now().UnixMilli() }
