//go:build linux

package chat

import (
	"encoding/json"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

// Subprotocol is what a client offers to speak JSON. The schema of both directions is
// docs/chat.schema.json.
const Subprotocol = "chat.usher.v1+json"

// JSONDialect is the dialect of clients that speak JSON, for the hub: see [Chat.Hub].
const JSONDialect = jsonDialect

// maxMalformed is how many messages in a row that are not of the dialect end a connection:
// a client that is this wrong is not going to be right.
const maxMalformed = 10

var errMalformed = &server.CloseError{Code: frame.StatusPolicyViolation, Reason: codeMalformed}

// malformed is how many messages in a row were not of the dialect: kept with the connection
// if it is not 0.
type malformed int

// hearObject acts on a message of the JSON dialect. It fails for the last of maxMalformed
// in a row that were not of the dialect.
func (s speaker) hearObject(b []byte) error {
	n, _ := s.conn.Data().(malformed)
	r, f := parseRequest(b)
	if f == nil {
		if n > 0 {
			s.conn.SetData(nil)
		}
		s.act(r)
		return nil
	}
	s.tell(f.answering(r.id))
	if n++; n == maxMalformed {
		return errMalformed
	}
	s.conn.SetData(n)
	return nil
}

// parseRequest reads a request, or says why b is none. Fields that a kind does not have are
// ignored: they may mean something to a later version.
func parseRequest(b []byte) (r request, _ *fault) {
	// Not into a struct: encoding/json would match its fields in upper and lower case.
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
	for _, name := range fieldsOf[kind] {
		s, ok := stringOf(fields[name])
		if !ok {
			return r, newFault(codeBadField, name+" is missing or not a string")
		}
		switch name {
		case "to":
			r.to = s
		case "text":
			r.text = s
		case "status":
			r.status = s
		}
	}
	if _, known := fieldsOf[kind]; !known {
		return r, newFault(codeUnknownType, "there are say, direct, status and who")
	}
	return r, nil
}

// idOf returns a request's id, "" for what cannot be one: it is ignored, like a field that
// means nothing here.
func idOf(raw json.RawMessage) string {
	id, ok := stringOf(raw)
	if !ok || longer(id, maxID) || !printable(id) {
		return ""
	}
	return id
}

// fieldsOf are the fields that each kind of request needs.
var fieldsOf = map[string][]string{
	kindSay: {"text"}, kindDirect: {"to", "text"}, kindStatus: {"status"}, kindWho: {},
}

// stringOf returns the value of a JSON string, and reports whether raw is one.
func stringOf(raw json.RawMessage) (s string, ok bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false // null would be taken for ""
	}
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}
