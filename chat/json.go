//go:build linux

package chat

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

// Subprotocol is what a client offers that wants to speak JSON. The schema of
// both directions is docs/chat.schema.json.
const Subprotocol = "chat.usher.v1+json"

// maxMalformed is how many messages in a row may not be of the dialect: a client
// that is this wrong is not going to be right.
const maxMalformed = 10

var errMalformed = &server.CloseError{Code: frame.StatusPolicyViolation, Reason: codeMalformed}

// hearObject acts on a message of the JSON dialect. It fails for the last of
// maxMalformed that were not of the dialect.
func (s *speaker) hearObject(b []byte) error {
	r, f := parseRequest(b)
	if f != nil {
		s.tell(f.answering(r.id))
		if s.malformed++; s.malformed == maxMalformed {
			return errMalformed
		}
		return nil
	}
	s.malformed = 0
	switch r.kind {
	case "say":
		s.say(r.text, r.id)
	case "direct":
		s.direct(r.to, r.text, r.id)
	case "status":
		s.status(r.status, r.id)
	case "who":
		s.who(r.id)
	}
	return nil
}

// request is a message of the JSON dialect, with the fields of its kind. id is the
// client's own name for it, which comes back in the answer; "" if there is none.
type request struct {
	kind, id, to, text, status string
}

// parseRequest reads a request, or says what is wrong with it. Fields that a kind
// does not have are ignored: they may mean something to a later version.
func parseRequest(b []byte) (r request, _ *fault) {
	// Not into a struct, whose fields would match in any case of their letters.
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil || fields == nil {
		return r, newFault(codeBadJSON, "not a JSON object")
	}
	r.id = idOf(fields["id"])
	kind, ok := stringOf(fields["type"])
	if !ok {
		return r, newFault(codeUnknownType, "type is missing or not a string")
	}
	r.kind = kind
	var f *fault
	switch kind {
	case "say":
		r.text, f = field(fields, "text", 1, maxText)
	case "direct":
		if r.to, f = field(fields, "to", 1, maxName); f == nil {
			r.text, f = field(fields, "text", 1, maxText)
		}
	case "status":
		r.status, f = field(fields, "status", 0, maxStatus)
	case "who":
	default:
		return r, newFault(codeUnknownType, "there are say, direct, status and who")
	}
	return r, f
}

// idOf returns a request's id, "" for what cannot be one: that is ignored like a field
// which means nothing here.
func idOf(raw json.RawMessage) string {
	id, ok := stringOf(raw)
	if !ok || utf8.RuneCountInString(id) > maxID || !printable(id) {
		return ""
	}
	return id
}

// field returns a field that has to be a string of so many characters, none of
// them a control character.
func field(fields map[string]json.RawMessage, name string, least, most int) (string, *fault) {
	s, ok := stringOf(fields[name])
	switch n := utf8.RuneCountInString(s); {
	case !ok:
		return "", newFault(codeBadField, name+" is missing or not a string")
	case n < least:
		return "", newFault(codeBadField, name+" is empty")
	case n > most:
		return "", newFault(codeTooLong, fmt.Sprintf("%s has at most %d characters", name, most))
	case !printable(s):
		return "", newFault(codeControlCharacters, name+" has control characters in it")
	}
	return s, nil
}

// stringOf returns what a JSON string says, and whether raw is one.
func stringOf(raw json.RawMessage) (s string, ok bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false // null would be taken for ""
	}
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}
