package events

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Type says what has happened.
type Type uint8

// The types, as docs/events.schema.json describes them.
const (
	Connected    Type = iota // a connection was opened
	Disconnected             // and has ended
	Joined                   // a user came to a room, with the first of their connections in it
	Left                     // and has gone from it
	Message                  // a client has said something
	dropped                  // the Sender's own: events were lost here

	types = iota
)

var typeNames = [types]string{"connected", "disconnected", "joined", "left", "message", "dropped"}

// String returns the type's name, as a backend reads it.
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("Type(%d)", uint8(t))
}

// UnmarshalText reads the name of a type that can be chosen.
func (t *Type) UnmarshalText(text []byte) error {
	for i, name := range typeNames[:dropped] {
		if string(text) == name {
			*t = Type(i)
			return nil
		}
	}
	return fmt.Errorf("%q: want one of %s", text, strings.Join(typeNames[:dropped], ", "))
}

// Event is something that has happened. What is zero is left out of what the backend reads.
type Event struct {
	Type Type
	At   time.Time // zero: when it is added

	// Whose it is: of a connection all, of a user in a room the user and the room.
	Connection  string // server.Conn.ID
	User        string
	Room        string
	Route       string         // the pattern of the route
	Path        string         // what it has matched, escaped, without a query
	Remote      netip.AddrPort // the client's address; port 0 is an unknown one
	Subprotocol string

	// How a connection has ended.
	Code   int
	Reason string

	// What a client has said. Data is valid until Add returns.
	IsText bool
	Data   []byte
}

// appendJSON appends the event as an object. Text that is not UTF-8 is made such, as
// encoding/json does it.
func (e *Event) appendJSON(dst []byte, node string) []byte {
	dst = append(append(append(dst, `{"type":"`...), e.Type.String()...), `","at":`...)
	dst = strconv.AppendInt(dst, e.At.UnixMilli(), 10)
	for _, field := range [...]struct{ name, value string }{
		{`,"node":`, node}, {`,"connection":`, e.Connection}, {`,"user":`, e.User}, {`,"room":`, e.Room},
		{`,"route":`, e.Route}, {`,"path":`, e.Path}, {`,"subprotocol":`, e.Subprotocol},
	} {
		if field.value != "" {
			dst = appendString(append(dst, field.name...), field.value)
		}
	}
	if e.Remote.IsValid() {
		dst = append(dst, `,"remote":"`...)
		if e.Remote.Port() == 0 {
			dst = e.Remote.Addr().AppendTo(dst)
		} else {
			dst = e.Remote.AppendTo(dst)
		}
		dst = append(dst, '"')
	}
	switch e.Type {
	case Disconnected:
		dst = strconv.AppendInt(append(dst, `,"code":`...), int64(e.Code), 10)
		dst = appendString(append(dst, `,"reason":`...), e.Reason)
	case Message:
		dst = e.appendData(dst)
	}
	return append(dst, '}')
}

// appendData appends what a client has said: text as it is, anything else in base64.
func (e *Event) appendData(dst []byte) []byte {
	if e.IsText {
		return appendString(append(dst, `,"text":`...), e.Data)
	}
	dst = append(dst, `,"data":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, e.Data)
	return append(dst, '"')
}

// loss is how many events are missing, and since when.
type loss struct {
	n     int
	since time.Time
}

// add counts n more that are missing since then.
func (l *loss) add(n int, since time.Time) {
	if n > 0 && (l.n == 0 || since.Before(l.since)) {
		l.since = since
	}
	l.n += n
}

// appendJSON appends the event that tells of l.
func (l loss) appendJSON(dst []byte, node string, now time.Time) []byte {
	e := Event{Type: dropped, At: now}
	dst = e.appendJSON(dst, node)
	dst = strconv.AppendInt(append(dst[:len(dst)-1], `,"count":`...), int64(l.n), 10)
	dst = strconv.AppendInt(append(dst, `,"since":`...), l.since.UnixMilli(), 10)
	return append(dst, '}')
}

// appendString appends s as a JSON string.
func appendString[T string | []byte](dst []byte, s T) []byte {
	if !utf8.ValidString(string(s)) { // the compiler makes no copy of it
		return appendString(dst, strings.ToValidUTF8(string(s), "\ufffd"))
	}
	dst = append(dst, '"')
	for begin, i := 0, 0; ; i++ {
		if i < len(s) && s[i] >= ' ' && s[i] != '"' && s[i] != '\\' {
			continue
		}
		dst = append(dst, s[begin:i]...)
		if i == len(s) {
			return append(dst, '"')
		}
		begin = i + 1
		switch c := s[i]; c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', '0'+c>>4, "0123456789abcdef"[c&15])
		}
	}
}
