//go:build linux

package chat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub"
	"github.com/usher-ws/usher/server"
)

// event is something that members are told. Its fields are what the JSON dialect says,
// described in docs/chat.schema.json, and line is what the plain dialect says. An event that
// answers a request carries the id that the client gave the request.
type event interface{ line() string }

// encode returns an event in a dialect.
func encode(e event, dialect int) []byte {
	if dialect == jsonDialect {
		return marshal(e)
	}
	return []byte(e.line())
}

// encoder lets the hub encode an event in the dialects that somebody hears.
func encoder(e event) hub.Encoder {
	return func(dialect int) []byte { return encode(e, dialect) }
}

// marshal returns v as JSON. It does not end up in HTML, so <, > and & stay as they are.
func marshal(v any) []byte {
	var b bytes.Buffer
	to := json.NewEncoder(&b)
	to.SetEscapeHTML(false)
	if err := to.Encode(v); err != nil {
		panic(err) // events are made of strings, numbers, JSON and each other
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// announce tells a room. Nobody waits for it, so it is lost if the room takes no more at
// the moment.
func announce(room *hub.Topic, e event) { _ = room.PublishFunc(frame.OpText, encoder(e)) }

// message is what somebody said to the room.
type message struct {
	Type string `json:"type"`
	From string `json:"from"`
	Text string `json:"text"`
	At   int64  `json:"at"` // milliseconds since 1970, as everywhere here
	ID   string `json:"id,omitempty"`
}

func (e message) line() string { return e.From + ": " + e.Text }

// data is what a program said to the room in JSON.
type data struct {
	Type string          `json:"type"`
	From string          `json:"from"`
	JSON json.RawMessage `json:"json"`
	At   int64           `json:"at"`
}

func (e data) line() string { return e.From + ": " + string(e.JSON) }

// history is the past messages, each without its type. In the plain dialect it is the
// lines themselves.
type history struct {
	Type     string            `json:"type"`
	Messages []json.RawMessage `json:"messages"` // the oldest first
}

// messageHead and dataHead are how a message in JSON begins.
const (
	messageHead = `{"type":"` + typeMessage + `",`
	dataHead    = `{"type":"` + typeData + `",`
)

// newHistory returns the event for past, which are messages in JSON.
func newHistory(past []server.Message) history {
	h := history{Type: typeHistory, Messages: make([]json.RawMessage, len(past))}
	for i, m := range past {
		h.Messages[i] = m.Data
		for _, head := range [...]string{messageHead, dataHead} {
			if rest, ok := bytes.CutPrefix(m.Data, []byte(head)); ok {
				h.Messages[i] = append([]byte("{"), rest...)
			}
		}
	}
	return h
}

// direct is what somebody said to one user.
type direct struct {
	Type string `json:"type"`
	From string `json:"from"`
	To   string `json:"to"`
	Text string `json:"text"`
	At   int64  `json:"at"`
	ID   string `json:"id,omitempty"`
}

// line returns something that no user can say to a room: what users say begins with their
// name and a colon, and a name has no space.
func (e direct) line() string { return e.From + " to " + e.To + " (private): " + e.Text }

// moved is a user who came or went.
type moved struct {
	Type  string `json:"type"` // typeJoined or typeLeft
	User  string `json:"user"`
	Count int    `json:"count"` // of the users present now
	At    int64  `json:"at"`
}

func (e moved) line() string { return serverPrefix + e.User + " has " + e.Type + " the chat" }

// crowd is how many users came and went since the last announcement.
type crowd struct {
	Type   string `json:"type"` // typeJoined, or typeLeft if nobody joined
	Joined int    `json:"joined"`
	Left   int    `json:"left"`
	Count  int    `json:"count"`
	At     int64  `json:"at"`
}

func (e crowd) line() string {
	if e.Joined == 0 && e.Left == 0 { // of a cluster only: it was not known yet who is elsewhere
		return serverPrefix + grouped(e.Count) + " here"
	}
	return serverPrefix + grouped(e.Joined) + " joined, " + grouped(e.Left) + " left, " + grouped(e.Count) + " here"
}

// eventOf returns the event for a move.
func eventOf(m hub.Move) event {
	kind := typeJoined
	if m.Joined == 0 {
		kind = typeLeft
	}
	if m.User == "" {
		return crowd{kind, m.Joined, m.Left, m.Count, now()}
	}
	return moved{kind, m.User, m.Count, now()}
}

// changed is a user's new status; "" if it was cleared.
type changed struct {
	Type   string `json:"type"`
	User   string `json:"user"`
	Status string `json:"status"`
	ID     string `json:"id,omitempty"`
}

func (e changed) line() string {
	if e.Status == "" {
		return serverPrefix + e.User + " is back"
	}
	return serverPrefix + e.User + " is " + e.Status
}

// who is the answer to a request of kind who.
type who struct {
	Type  string    `json:"type"`
	Users []present `json:"users"` // at most maxWho
	Count int       `json:"count"` // of all
	ID    string    `json:"id,omitempty"`
}

type present struct {
	User   string `json:"user"`
	Status string `json:"status"`
}

func (e who) line() string {
	var b strings.Builder
	fmt.Fprintf(&b, serverPrefix+"%d here: ", e.Count)
	for i, p := range e.Users {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(p.User)
		if p.Status != "" {
			b.WriteString(" (" + p.Status + ")")
		}
	}
	if more := e.Count - len(e.Users); more > 0 {
		fmt.Fprintf(&b, " and %d more", more)
	}
	return b.String()
}

// The types of events, as the JSON dialect calls them.
const (
	typeMessage = "message"
	typeData    = "data"
	typeHistory = "history"
	typeDirect  = "direct"
	typeJoined  = "joined"
	typeLeft    = "left"
	typeStatus  = "status"
	typeWho     = "who"
	typeError   = "error"
)
