//go:build linux

package middleware

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

// Transform returns the middleware that changes messages: in those that come from
// clients, before the handler, and out those that are published to a Group that has
// it. Either may be nil. They may change the data where it lies, or return other; a
// text must stay UTF-8. What a handler sends to one connection is its own business.
func Transform(in, out func(server.Message) server.Message) server.Middleware {
	m := server.Middleware{Name: "transform"}
	if in != nil {
		m.Message = func(next server.MessageFunc) server.MessageFunc {
			return func(c server.Conn, m server.Message) error { return next(c, in(m)) }
		}
	}
	if out != nil {
		m.Send = func(next server.SendFunc) server.SendFunc {
			return func(m server.Message) error {
				m.Data = bytes.Clone(m.Data) // which is the publisher's
				return next(out(m))
			}
		}
	}
	return m
}

// Upper is for Transform: it makes texts upper-case.
func Upper(m server.Message) server.Message {
	if m.Opcode == frame.OpText {
		m.Data = bytes.ToUpper(m.Data)
	}
	return m
}

// Censor is for Transform: it returns what puts an asterisk for each letter of these
// words, wherever they stand by themselves in a text and in whatever case.
func Censor(words ...string) func(server.Message) server.Message {
	list := make(map[string]bool, len(words))
	longest := 0
	for _, w := range words {
		folded := appendLower(nil, []byte(w))
		list[string(folded)] = true
		longest = max(longest, len(folded))
	}
	return func(m server.Message) server.Message {
		if m.Opcode == frame.OpText {
			m.Data = censor(m.Data, list, longest)
		}
		return m
	}
}

// censor returns text itself if there is nothing to hide.
func censor(text []byte, list map[string]bool, longest int) []byte {
	var clean []byte
	var room [64]byte
	kept := 0 // text up to here is in clean, if there is one
	for at := 0; at < len(text); {
		end := at + wordLen(text[at:])
		if end == at {
			_, n := utf8.DecodeRune(text[at:])
			at += n
			continue
		}
		word := text[at:end] // lower case takes a third of its bytes at least: U+212A is k
		if len(word) <= 3*longest && list[string(appendLower(room[:0], word))] {
			clean = append(clean, text[kept:at]...)
			clean = append(clean, bytes.Repeat([]byte("*"), utf8.RuneCount(word))...)
			kept = end
		}
		at = end
	}
	if clean == nil {
		return text
	}
	return append(clean, text[kept:]...)
}

// wordLen is how many bytes of letters, their marks and digits text begins with.
func wordLen(text []byte) int {
	for n := 0; n < len(text); {
		r, size := utf8.DecodeRune(text[n:])
		if !inWord(r) {
			return n
		}
		n += size
	}
	return len(text)
}

func inWord(r rune) bool {
	if r < utf8.RuneSelf {
		return 'a' <= r|0x20 && r|0x20 <= 'z' || '0' <= r && r <= '9'
	}
	return unicode.In(r, unicode.Letter, unicode.Mark, unicode.Digit)
}

// appendLower appends word in lower case, in as many bytes as that takes.
func appendLower(dst, word []byte) []byte {
	for len(word) > 0 {
		r, n := utf8.DecodeRune(word)
		dst = utf8.AppendRune(dst, unicode.ToLower(r))
		word = word[n:]
	}
	return dst
}
