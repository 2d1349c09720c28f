//go:build linux

package chat

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub"
	"github.com/usher-ws/usher/server"
)

const (
	// maxWho bounds the answer to /who: 100 names of 64 characters are a few KiB.
	maxWho = 100

	// maxStatus is the longest status, in characters: it is repeated to everybody
	// who asks /who.
	maxStatus = 64
)

const commands = "there are /msg NAME TEXT, /who, /status TEXT; //text says /text"

// speaker is a member and their own ear, while one message of theirs is heard.
type speaker struct {
	*hub.Member
	conn server.Conn
}

// hear acts on one message. text is the caller's again when it returns.
func (s speaker) hear(text []byte) {
	text = bytes.TrimRight(text, "\r\n")
	switch {
	case len(bytes.TrimSpace(text)) == 0:
	case !printable(text):
		s.tell("your message was not sent: it has control characters in it")
	case text[0] != '/':
		s.say(text)
	case bytes.HasPrefix(text, []byte("//")):
		s.say(text[1:])
	default:
		s.command(string(text[1:]))
	}
}

// command does what a line after its slash asks for.
func (s speaker) command(line string) {
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "msg":
		s.direct(rest)
	case "who":
		s.who()
	case "status":
		s.status(rest)
	default:
		s.tell("unknown command /" + cut(word, maxName) + "; " + commands)
	}
}

// direct sends a text to one user of the room and to nobody else, but for the
// speaker, who sees the same line.
func (s speaker) direct(line string) {
	name, text, _ := strings.Cut(line, " ")
	text = strings.TrimSpace(text)
	if text == "" {
		s.tell("to tell one member only: /msg NAME TEXT")
		return
	}
	// No user can say this line to a room: what they say begins with their name
	// and a colon, and a name has no space.
	said := fmt.Sprintf("%s to %s (private): %s", s.User(), name, text)
	n, _ := s.Topic().Direct(name, frame.OpText, []byte(said))
	if n == 0 {
		s.tell(cut(name, maxName) + " is not in this room; /who tells who is")
		return
	}
	if name != s.User() {
		tell(s.conn, said)
	}
}

// who tells the speaker who is in the room.
func (s speaker) who() {
	some, total := s.Topic().Presence(maxWho)
	var b strings.Builder
	fmt.Fprintf(&b, "%d here: ", total)
	for i, p := range some {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(p.User)
		if p.Status != "" {
			b.WriteString(" (" + p.Status + ")")
		}
	}
	if more := total - len(some); more > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	s.tell(b.String())
}

// status keeps the speaker's status, and tells the room.
func (s speaker) status(status string) {
	if utf8.RuneCountInString(status) > maxStatus {
		s.tell(fmt.Sprintf("a status has at most %d characters", maxStatus))
		return
	}
	s.SetStatus(status)
	if status == "" {
		announce(s.Topic(), s.User()+" is back")
		return
	}
	announce(s.Topic(), s.User()+" is "+status)
}

// say says text to everybody in the room, the speaker included. What becomes of a
// member that is slow or gone is the hub's to decide; an error means that the room
// as a whole takes no more at the moment.
func (s speaker) say(text []byte) {
	name := s.User()
	line := make([]byte, 0, len(name)+len(": ")+len(text))
	line = append(line, name...)
	line = append(line, ": "...)
	line = append(line, text...)
	if err := s.Topic().Publish(frame.OpText, line); err != nil {
		s.tell("the room is too busy: your message may not have reached everybody")
	}
}

// tell tells the speaker alone something in the server's name.
func (s speaker) tell(note string) { tell(s.conn, serverPrefix+note) }

// announce tells a room something in the server's name. Nobody is waiting for it,
// so when the room takes no more it is lost.
func announce(room *hub.Topic, note string) {
	_ = room.Publish(frame.OpText, []byte(serverPrefix+note))
}

// tell sends one line. When that fails the connection is ending or will be ended
// by its outbox; its Close callback does what there is to do.
func tell(conn server.Conn, line string) { _ = conn.Send(frame.OpText, []byte(line)) }
