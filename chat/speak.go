//go:build linux

package chat

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/usher-ws/usher/frame"
)

const (
	// maxWho bounds the answer to /who: 100 names of 64 characters are a few KiB.
	maxWho = 100

	// maxStatus is the longest status, in characters: it is repeated to everybody
	// who asks /who.
	maxStatus = 64
)

const commands = "there are /msg NAME TEXT, /who, /status TEXT; //text says /text"

// hear acts on one message of m. text is the caller's again when it returns.
func (t *rooms) hear(m *member, text []byte) {
	text = bytes.TrimRight(text, "\r\n")
	switch {
	case len(bytes.TrimSpace(text)) == 0:
	case !printable(text):
		m.tell("your message was not sent: it has control characters in it")
	case text[0] != '/':
		m.say(text)
	case bytes.HasPrefix(text, []byte("//")):
		m.say(text[1:])
	default:
		t.command(m, string(text[1:]))
	}
}

// command does what a line after its slash asks for.
func (t *rooms) command(m *member, line string) {
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "msg":
		t.direct(m, rest)
	case "who":
		t.answerWho(m)
	case "status":
		t.status(m, rest)
	default:
		m.tell("unknown command /" + cut(word, maxName) + "; " + commands)
	}
}

// direct sends a text to one user of the room and to nobody else, but for m, who
// sees the same line.
func (t *rooms) direct(m *member, line string) {
	name, text, _ := strings.Cut(line, " ")
	text = strings.TrimSpace(text)
	if text == "" {
		m.tell("to tell one member only: /msg NAME TEXT")
		return
	}
	to := t.find(m, name)
	if len(to) == 0 {
		m.tell(cut(name, maxName) + " is not in this room; /who tells who is")
		return
	}
	if !slices.Contains(to, m.peer) {
		to = append(to, m.peer)
	}
	// No user can say this line to a room: what they say begins with their name
	// and a colon, and a name has no space.
	said := fmt.Sprintf("%s to %s (private): %s", m.name, name, text)
	for _, p := range to {
		tell(p, said)
	}
}

func (t *rooms) answerWho(m *member) {
	some, total := t.who(m, maxWho)
	var b strings.Builder
	fmt.Fprintf(&b, "%d here: ", total)
	for i, p := range some {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(p.name)
		if p.status != "" {
			b.WriteString(" (" + p.status + ")")
		}
	}
	if more := total - len(some); more > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	m.tell(b.String())
}

func (t *rooms) status(m *member, status string) {
	if utf8.RuneCountInString(status) > maxStatus {
		m.tell(fmt.Sprintf("a status has at most %d characters", maxStatus))
		return
	}
	t.setStatus(m, status)
	if status == "" {
		m.room.announce(m.name + " is back")
		return
	}
	m.room.announce(m.name + " is " + status)
}

// say says text to everybody in m's room, m included. It asks nothing of the table.
// What becomes of a member that is slow or gone is the crowd's to decide; an error
// means that the crowd as a whole takes no more at the moment.
func (m *member) say(text []byte) {
	line := make([]byte, 0, len(m.name)+len(": ")+len(text))
	line = append(line, m.name...)
	line = append(line, ": "...)
	line = append(line, text...)
	if err := m.room.crowd.Send(frame.OpText, line); err != nil {
		m.tell("the room is too busy: your message may not have reached everybody")
	}
}

// tell tells m alone something in the server's name.
func (m *member) tell(note string) { tell(m.peer, serverPrefix+note) }

// announce tells the room something in the server's name. Nobody is waiting for
// it, so when the crowd takes no more it is lost.
func (r *room) announce(note string) {
	_ = r.crowd.Send(frame.OpText, []byte(serverPrefix+note))
}

// tell sends one line. When that fails the connection is ending or will be ended
// by its outbox; its Close callback does what there is to do.
func tell(p peer, line string) { _ = p.Send(frame.OpText, []byte(line)) }
