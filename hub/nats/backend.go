//go:build linux

package nats

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub"
)

// backend is what other clients of NATS publish to rooms and users.
type backend struct {
	Text   *string         `json:"text"`
	JSON   json.RawMessage `json:"json"`
	From   string          `json:"from"`
	ID     string          `json:"id"`
	Retain bool            `json:"retain"`

	encode hub.Encoder
}

// opcode is that of messages of backends.
const opcode = frame.OpText

var (
	errRoom    = errors.New("nats: there can be no room of this name")
	errBackend = errors.New("nats: want a JSON object with a text or a json")
	errEncode  = errors.New("nats: Config.Encode is not set")
)

// hearToRetain keeps a backend's message for those that join a room, which is nil without members
// here, and delivers it to those that are there. All nodes hear it, and no node passes it on: so of
// what several backends retain at once the nodes may keep different messages.
func (b *Broker) hearToRetain(r *room, token string, msg *nats.Msg) {
	topic, ok := nameOf(token)
	if !ok || len(topic) > maxTopic || b.config.HasRoom != nil && !b.config.HasRoom(topic) {
		b.refuse(msg.Subject, errRoom)
		return
	}
	m := b.decode(msg)
	if m == nil {
		return
	}
	out := hub.Encoded(topic, opcode, m.encode)
	out.Retained = hub.Unstamped
	b.counters.received.Add(1)
	b.arrive(r, out)
}

// hearForRoom delivers a backend's message to a room, where it is in the history. What is to be
// retained goes to the nodes without members in the room as well, which have not heard it; where no
// node has any, nobody hears it: subjectRetain is for that.
func (b *Broker) hearForRoom(r *room, token string, msg *nats.Msg) {
	m := b.decode(msg)
	if m == nil {
		return
	}
	out := hub.Encoded(r.topic, opcode, m.encode)
	if out.Kept = !m.Retain; m.Retain {
		out.Retained = time.Now().UnixNano()
		b.relay(token, out.Retained, msg.Data)
	}
	b.counters.received.Add(1)
	b.arrive(r, out)
}

// relay tells the other nodes what a backend wants to be retained in a room.
func (b *Broker) relay(token string, at int64, data []byte) {
	data = appendNote(nil, &note{from: b.node, id: uint64(at), body: data})
	if int64(len(data)) > b.maxPayload.Load() || !b.out.put(op{publish: subjectRelay + token, data: data}, len(data)) {
		b.counters.unsent.Add(1)
	}
}

// hearRelay keeps what a backend wants to be retained in a room without members here.
func (b *Broker) hearRelay(r *room, token string, msg *nats.Msg) {
	n, err := parseNote(msg.Data)
	topic, ok := nameOf(token)
	switch {
	case err != nil || !ok:
		b.counters.malformed(err)
		return
	case r != nil || n.from == b.node: // then we have heard it ourselves
		return
	}
	m, err := b.parse(n.body)
	if err != nil {
		b.refuse(msg.Subject, err)
		return
	}
	out := hub.Encoded(topic, opcode, m.encode)
	out.Retained = int64(n.id)
	b.arrive(nil, out)
}

// hearForUser passes on a backend's message for a user.
func (b *Broker) hearForUser(token string, msg *nats.Msg) {
	user, ok := nameOf(token)
	if !ok {
		b.refuse(msg.Subject, errMalformed)
		return
	}
	if m := b.decode(msg); m != nil && b.config.User != nil {
		b.counters.received.Add(1)
		b.config.User(user, m.encode)
	}
}

// decode returns a backend's message, nil if it was refused or heard before.
func (b *Broker) decode(msg *nats.Msg) *backend {
	m, err := b.parse(msg.Data)
	if err != nil {
		b.refuse(msg.Subject, err)
		return nil
	}
	if m.ID != "" && !b.recent.add(msg.Subject, m.ID, time.Now()) {
		b.counters.repeated.Add(1)
		return nil
	}
	return m
}

// parse returns a backend's message.
func (b *Broker) parse(data []byte) (*backend, error) {
	m := new(backend)
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(m); err != nil || d.More() {
		return nil, errBackend
	}
	switch {
	case (m.Text == nil) == (m.JSON == nil):
		return nil, errBackend
	case b.config.Encode == nil:
		return nil, errEncode
	}
	text := ""
	if m.Text != nil {
		text = *m.Text
	}
	var err error
	m.encode, err = b.config.Encode(m.From, text, m.JSON)
	return m, err
}

// refuse counts and logs what a backend has published in vain: nobody can tell it.
func (b *Broker) refuse(subject string, err error) {
	n := b.counters.refused.Add(1)
	if n&(n-1) == 0 { // the 1st, 2nd, 4th, 8th …
		b.log.Warn("a message over NATS was refused", "subject", subject, "err", err, "refused", n)
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
