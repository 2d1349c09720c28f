// Package vectors has the test vectors of the WebSocket protocol: what arrives, and
// what must come of it. The tests of package frame run them against the parser, those
// of the program against its sockets. README.md explains the format. Only tests may
// import this package.
package vectors

import (
	"bytes"
	"embed"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Key masks everything that the client role sends in vectors.
var Key = [4]byte{0x37, 0xfa, 0x21, 0x3d} // RFC 6455 §5.7

// Case is one vector: what arrives, and what must come of it.
type Case struct {
	Name   string // file/name
	Client bool   // the receiver is a client
	Window int    // of what it compresses, 8 to 15; 0: permessage-deflate is not negotiated
	Max    int    // MaxMessage; 0: the default; -1: no limit

	In     []byte
	Events []Event
	Out    []Output
}

// Event is what the receiver reports.
type Event struct {
	Kind string // text, binary, ping, pong, close or error
	Code int    // of close and error
	Data []byte
}

// Output is a part of what the receiver sends.
type Output struct {
	Deflated string // text, binary: Bytes is a message, to be sent compressed; "": Bytes are on the wire
	Bytes    []byte
}

//go:embed *.txt
var files embed.FS

// Load reads all vectors, in the order of their files.
func Load() (cases []*Case, err error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, err
	}
	names := make(map[string]bool)
	for _, entry := range entries {
		file := entry.Name()
		text, err := files.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var c *Case
		for i, line := range strings.Split(string(text), "\n") {
			switch {
			case line == "" || line[0] == '#':
			case line[0] != ' ':
				c = &Case{Name: strings.TrimSuffix(file, ".txt") + "/" + line}
				if names[c.Name] {
					return nil, fmt.Errorf("%s:%d: %q is there twice", file, i+1, c.Name)
				}
				names[c.Name] = true
				cases = append(cases, c)
			case c == nil:
				return nil, fmt.Errorf("%s:%d: a line before the first name", file, i+1)
			default:
				if err := c.add(strings.TrimSpace(line)); err != nil {
					return nil, fmt.Errorf("%s:%d: %w", file, i+1, err)
				}
			}
		}
	}
	return cases, nil
}

// Largest returns the length of the largest message.
func (c *Case) Largest() (n int) {
	for _, e := range c.Events {
		n = max(n, len(e.Data))
	}
	return n
}

// add reads one line.
func (c *Case) add(line string) (err error) {
	word, rest, _ := strings.Cut(line, " ")
	word, times, _ := strings.Cut(word, "*")
	n := 1
	if times != "" {
		if n, err = strconv.Atoi(times); err != nil {
			return err
		}
	}
	kind, code := "", 0
	switch word {
	case "client":
		c.Client = true
		return nil
	case "deflate":
		if c.Window = 15; rest != "" {
			c.Window, err = strconv.Atoi(rest)
		}
		return err
	case "max":
		c.Max, err = strconv.Atoi(rest)
		return err
	case "deflated":
		kind, rest, _ = strings.Cut(rest, " ")
	case "close", "error":
		var number string
		number, rest, _ = strings.Cut(rest, " ")
		if code, err = strconv.Atoi(number); err != nil {
			return err
		}
	}
	b, err := eval(rest)
	if err != nil {
		return err
	}
	switch word {
	case "in":
		c.In = append(c.In, bytes.Repeat(b, n)...)
	case "out":
		c.Out = append(c.Out, Output{Bytes: bytes.Repeat(b, n)})
	case "deflated":
		c.Out = append(c.Out, Output{kind, b})
	case "text", "binary", "ping", "pong", "close", "error":
		for range n {
			c.Events = append(c.Events, Event{word, code, b})
		}
	default:
		return fmt.Errorf("unknown word %q", word)
	}
	return nil
}

// eval reads an expression: hex, "text" and &key, each perhaps *times.
func eval(s string) (b []byte, err error) {
	mask := -1
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		var item []byte
		masks := s[0] == '&'
		if s[0] == '"' {
			quoted, err := strconv.QuotedPrefix(s)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", s, err)
			}
			text, _ := strconv.Unquote(quoted)
			item, s = []byte(text), s[len(quoted):]
		} else {
			end := strings.IndexAny(s, " *")
			if end < 0 {
				end = len(s)
			}
			if item, err = hex.DecodeString(strings.TrimPrefix(s[:end], "&")); err != nil {
				return nil, err
			}
			s = s[end:]
		}
		if strings.HasPrefix(s, "*") {
			end := strings.IndexByte(s+" ", ' ')
			n, err := strconv.Atoi(s[1:end])
			if err != nil {
				return nil, err
			}
			item, s = bytes.Repeat(item, n), s[end:]
		}
		b = append(b, item...)
		if masks {
			mask = len(b)
		}
	}
	if mask >= 0 {
		for i := range b[mask:] {
			b[mask+i] ^= b[mask-4+i%4] // the naive loop: what frame does is tested with this
		}
	}
	return b, nil
}
