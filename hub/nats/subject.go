//go:build linux

package nats

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/usher-ws/usher/hub"
)

// The subjects. Rooms and users are open to other clients; what is behind subjectNode is
// for nodes alone.
const (
	subjectRoom   = "usher.room."
	subjectUser   = "usher.user."
	subjectRetain = "usher.retain." // and a room's token: what a backend has retained there, for all nodes
	subjectBeat   = "usher.node.beat"
	subjectSync   = "usher.node.sync"
	subjectAsk    = "usher.node.ask"     // and behind a dot the epoch of the node that is asked alone, in hex
	subjectValue  = "usher.node.value."  // and a room's token: what is retained there, for all nodes
	subjectRelay  = "usher.node.relay."  // and a room's token: what a backend wants to be retained there
	subjectTell   = "usher.node.tell"    // and behind a dot the token of the node that is told
	subjectAnswer = "usher.node.answer." // and the epoch of the node that has asked, in hex
	subjectMark   = "usher.node.mark."   // and the same of the node that is told, and a room's token
)

// asksTo is the subject on which a node is asked alone, answersTo that on which answers come to it, and marksTo what the subjects begin
// with on which it is told how far another is in a room.
func asksTo(n hub.Node) string    { return subjectAsk + "." + strconv.FormatUint(n.Epoch, 16) }
func answersTo(n hub.Node) string { return subjectAnswer + strconv.FormatUint(n.Epoch, 16) }
func marksTo(n hub.Node) string   { return subjectMark + strconv.FormatUint(n.Epoch, 16) + "." }

// Token returns what stands for the name of a room or a user in a subject: the name itself
// if it is one to 64 of the characters A to Z, a to z, 0 to 9, _ and -; else ~ and the name
// in base64url without padding.
func Token(name string) string {
	if isPlain(name) {
		return name
	}
	return "~" + base64.RawURLEncoding.EncodeToString([]byte(name))
}

// nameOf is the inverse of Token; it takes no other spelling of a name.
func nameOf(token string) (name string, ok bool) {
	if isPlain(token) {
		return token, true
	}
	coded, ok := strings.CutPrefix(token, "~")
	if !ok {
		return "", false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(coded)
	if err != nil || isPlain(string(b)) || strings.ContainsAny(coded, "\r\n") { // which DecodeString skips
		return "", false
	}
	return string(b), true
}

// isPlain reports whether a name stands for itself.
func isPlain(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
