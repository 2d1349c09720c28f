//go:build linux

package chat

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/usher-ws/usher/hub"
	"github.com/usher-ws/usher/upgrade"
)

// maxJSON is the largest JSON value that a backend can say, in bytes without space between its
// parts.
const maxJSON = 64 << 10

// The refusals of Encode.
var (
	rejectFrom = upgrade.Reject(http.StatusBadRequest, codeNameForbidden,
		"from cannot be a name here: it takes 1 to 64 visible characters, no space, and nothing that passes for Server but Server itself.")
	rejectNothing = upgrade.Reject(http.StatusBadRequest, codeBadField, "Give either a text or a JSON value.")
	rejectBytes   = upgrade.Reject(http.StatusBadRequest, codeBadField, "The message is not UTF-8.")
	rejectJSON    = upgrade.Reject(http.StatusBadRequest, codeBadJSON, "What was given as JSON is none.")
	rejectLong    = upgrade.Reject(http.StatusBadRequest, codeTooLong, "A JSON value has at most "+strconv.Itoa(maxJSON)+" bytes.")
)

// Encode returns a message of a program rather than of a member, in the chat's dialects: for
// Hub's RecordFunc, PublishFunc, DirectFunc and Retain, with frame.OpText. from is the name that
// it is said under, which need not be a user's: "" is Server, a name that no user can have. What
// it says is text, or value instead, which is JSON.
//
// In the plain dialect it is "from: text", with the value as compact JSON for text. In the JSON
// dialect a text is an event of the type message, and a value one of the type data.
//
// The rules are those for members: text has 1 to 4096 characters, something in it can be seen,
// and there is no control character in it; what it leaves open of the direction of writing is
// closed. A value has up to 64 KiB. The error is an *upgrade.Rejection with the status 400 and a
// code of docs/CODES.md. The bytes of value are the caller's again.
func (c *Chat) Encode(from, text string, value []byte) (hub.Encoder, error) {
	if from == "" {
		from = serverName
	}
	if from != serverName && !ValidName(from) {
		return nil, rejectFrom
	}
	if value != nil {
		if text != "" {
			return nil, rejectNothing
		}
		v, err := shown(value)
		if err != nil {
			return nil, err
		}
		return encoder(data{typeData, from, v, now()}), nil
	}
	if f := (request{kind: kindSay, text: text}).flaw(); f != nil {
		return nil, upgrade.Reject(http.StatusBadRequest, f.Code, f.Detail)
	}
	if !utf8.ValidString(text) {
		return nil, rejectBytes
	}
	return encoder(message{typeMessage, from, closed(text), now(), ""}), nil
}

// shown returns a JSON value as one line in which nothing breaks the line or turns it: such
// characters, which can be in strings only, are escaped.
func shown(value []byte) (json.RawMessage, error) {
	var b bytes.Buffer
	switch err := json.Compact(&b, value); {
	case err != nil:
		return nil, rejectJSON
	case !utf8.Valid(b.Bytes()):
		return nil, rejectBytes
	case b.Len() > maxJSON:
		return nil, rejectLong
	}
	line := b.String()
	if strings.IndexFunc(line, breaks) < 0 {
		return b.Bytes(), nil
	}
	escaped := make([]byte, 0, len(line)+len(line)/8)
	for _, r := range line {
		if breaks(r) {
			const hex = "0123456789abcdef" // all of these are below U+10000
			escaped = append(escaped, '\\', 'u', hex[r>>12], hex[r>>8&15], hex[r>>4&15], hex[r&15])
			continue
		}
		escaped = utf8.AppendRune(escaped, r)
	}
	return escaped, nil
}

// breaks reports whether a character that JSON allows in a string is not for a line: see
// printable and closed.
func breaks(r rune) bool {
	return r >= 0x7f && (!printable(string(r)) || strings.ContainsRune(embeddings+isolates, r) || r == endsPDF || r == endsPDI)
}
