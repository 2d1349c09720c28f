//go:build linux

package chat

import "strings"

const commands = "there are /msg NAME TEXT, /who, /status TEXT; //text says /text"

// hearLine acts on a message of the plain dialect.
func (s speaker) hearLine(line string) {
	line = strings.TrimRight(line, "\r\n")
	switch {
	case !printable(line):
		s.tell(faultControl)
	case strings.HasPrefix(line, "//"):
		s.act(request{kind: kindSay, text: line[1:]})
	case strings.HasPrefix(line, "/"):
		s.command(line[1:])
	default:
		s.act(request{kind: kindSay, text: line})
	}
}

// command acts on a line, whose slash was removed.
func (s speaker) command(line string) {
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "msg":
		name, text, _ := strings.Cut(rest, " ")
		if text = strings.TrimSpace(text); text == "" {
			s.tell(note("to tell one member only: /msg NAME TEXT"))
			return
		}
		s.act(request{kind: kindDirect, to: name, text: text})
	case "who":
		s.act(request{kind: kindWho})
	case "status":
		s.act(request{kind: kindStatus, status: rest})
	default:
		s.tell(note("unknown command /" + closed(cut(word, maxName)) + "; " + commands))
	}
}

// note is a hint that only the plain dialect needs.
type note string

func (n note) line() string { return serverPrefix + string(n) }
