//go:build linux

package chat

import "strings"

const commands = "there are /msg NAME TEXT, /who, /status TEXT; //text says /text"

// hearLine acts on a message of the plain dialect.
func (s *speaker) hearLine(line string) {
	line = strings.TrimRight(line, "\r\n")
	switch {
	case !printable(line):
		s.tell(faultControl)
	case strings.HasPrefix(line, "//"):
		s.say(line[1:], "")
	case strings.HasPrefix(line, "/"):
		s.command(line[1:])
	default:
		s.say(line, "")
	}
}

// command does what a line after its slash asks for.
func (s *speaker) command(line string) {
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "msg":
		name, text, _ := strings.Cut(rest, " ")
		if text = strings.TrimSpace(text); text == "" {
			s.tell(note("to tell one member only: /msg NAME TEXT"))
			return
		}
		s.direct(name, text, "")
	case "who":
		s.who("")
	case "status":
		s.status(rest, "")
	default:
		s.tell(note("unknown command /" + cut(word, maxName) + "; " + commands))
	}
}

// note is what only the plain dialect has to say.
type note string

func (n note) line() string { return serverPrefix + string(n) }
