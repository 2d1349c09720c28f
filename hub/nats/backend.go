//go:build linux

package nats

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/usher-ws/usher/hub"
)

// backend is what other clients of NATS publish to rooms and users.
type backend struct {
	Text *string         `json:"text"`
	JSON json.RawMessage `json:"json"`
	From string          `json:"from"`
	ID   string          `json:"id"`
}

var (
	errBackend = errors.New("nats: want a JSON object with a text or a json")
	errEncode  = errors.New("nats: Config.Encode is not set")
)

// cutUser returns the token of the user that a subject is for.
func cutUser(subject string) (token string, ok bool) { return strings.CutPrefix(subject, subjectUser) }

// hearForRoom delivers a backend's message to a room.
func (b *Broker) hearForRoom(r *room, msg *nats.Msg) {
	encode, err := b.decode(msg)
	switch {
	case err != nil:
		b.refuse(msg.Subject, err)
	case encode != nil:
		b.counters.received.Add(1)
		b.arrive(r, hub.Encoded(r.topic, opcode, encode))
	}
}

// hearForUser passes on a backend's message for a user.
func (b *Broker) hearForUser(token string, msg *nats.Msg) {
	user, ok := nameOf(token)
	if !ok {
		b.refuse(msg.Subject, errMalformed)
		return
	}
	encode, err := b.decode(msg)
	switch {
	case err != nil:
		b.refuse(msg.Subject, err)
	case encode != nil && b.config.User != nil:
		b.counters.received.Add(1)
		b.config.User(user, encode)
	}
}

// decode returns what makes a backend's message, nil if it was heard before.
func (b *Broker) decode(msg *nats.Msg) (hub.Encoder, error) {
	var m backend
	d := json.NewDecoder(bytes.NewReader(msg.Data))
	if err := d.Decode(&m); err != nil || d.More() {
		return nil, errBackend
	}
	switch {
	case (m.Text == nil) == (m.JSON == nil):
		return nil, errBackend
	case b.config.Encode == nil:
		return nil, errEncode
	case m.ID != "" && !b.recent.add(msg.Subject, m.ID, time.Now()):
		b.counters.repeated.Add(1)
		return nil, nil
	}
	var text string
	if m.Text != nil {
		text = *m.Text
	}
	return b.config.Encode(m.From, text, m.JSON)
}

// refuse counts and logs what a backend has published in vain: nobody can tell it.
func (b *Broker) refuse(subject string, err error) {
	if b.counters.refused.Add(1)&(b.counters.refused.Load()-1) == 0 { // the 1st, 2nd, 4th, 8th …
		b.log.Warn("a message over NATS was refused", "subject", subject, "err", err, "refused", b.counters.refused.Load())
	}
}

const (
	// recentFor is how long an id is known, and maxRecent how many are at most.
	recentFor = 2 * time.Minute
	maxRecent = 1 << 16
)

// recent are the ids of messages that came in the last minutes, as digests.
type recent struct {
	mu    sync.Mutex
	known map[digest]struct{}
	line  []seen // the oldest first
}

type digest [sha256.Size]byte

type seen struct {
	id digest
	at time.Time
}

// add reports whether an id is new to a subject.
func (r *recent) add(subject, id string, now time.Time) bool {
	d := sha256.Sum256([]byte(subject + " " + id)) // a subject has no space in it
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.line) > 0 && now.Sub(r.line[0].at) >= recentFor {
		r.forget()
	}
	if _, ok := r.known[d]; ok {
		return false
	}
	if len(r.line) == maxRecent {
		r.forget()
	}
	if r.known == nil {
		r.known = make(map[digest]struct{})
	}
	r.known[d] = struct{}{}
	r.line = append(r.line, seen{d, now})
	return true
}

// forget forgets the oldest.
func (r *recent) forget() {
	delete(r.known, r.line[0].id)
	r.line = r.line[1:]
}
