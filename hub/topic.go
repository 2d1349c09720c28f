//go:build linux

package hub

import (
	"bytes"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/hub/internal/gossip"
	"github.com/usher-ws/usher/internal/compact"
	"github.com/usher-ws/usher/server"
)

// Topic is where members hear each other. It is reached through its members. One that was
// forgotten has none and never gets one: a later Join of the name makes another Topic. All
// methods are safe for any goroutine.
type Topic struct {
	hub       *Hub
	name      string
	voices    []voice     // by dialect
	forgotten atomic.Bool // set under hub.mu and order

	// Guarded by hub.mu.
	server   *server.Server    // of the connections
	users    compact.Index     // of hub.seats: one for each user, by Hub.Key of their names
	conns    compact.Index     // of hub.seats: all that have a connection
	statuses map[uint32]uint32 // by hub.seats.names, in hub.seats.statuses: of those that have one
	far      *gossip.Topic     // the users at other hubs; nil if there are no users here, or no cluster
	guests   map[uint32]*held  // by hub.seats.names: users here that another hub notes, or nobody yet

	// order is held while the table changes and that is announced, so that announcements
	// come in the order of the moves; and while a message is kept and published, so that
	// a member that joins has it from the history or hears it, and not both. Nothing of
	// the application's is called under it: what is needed of that is made before. It
	// guards what follows.
	order       sync.Mutex
	gathered    Move // what is to be told together
	isCountNews bool // or only how many users there are
	isGathering bool // tellGathered will be called
	history     history
	sieves      []*sieve // not in use
	untold      []Move   // that Moved has to be called with
	telling     bool     // a goroutine is at it

	feed atomic.Pointer[feed] // set under order
}

// voice is how a topic speaks one dialect.
type voice struct {
	group   server.Group
	members atomic.Int32    // that hear it, or are about to
	publish server.SendFunc // to the group, through the hooks
}

// newTopic returns an empty topic.
func newTopic(h *Hub, name string) *Topic {
	t := &Topic{
		hub:    h,
		name:   name,
		voices: make([]voice, max(1, h.Dialects)),
	}
	for d := range t.voices {
		v := &t.voices[d]
		v.group.Left = t.ended
		v.publish = through(h.Middleware, func(m server.Message) error { return v.group.Send(m.Opcode, m.Data) })
	}
	return t
}

// Name returns the name that the topic was joined by.
func (t *Topic) Name() string { return t.name }

// Publish sends b as one message to every connection in the topic, that of the publisher
// included, in all dialects. It takes no lock of the hub and does not wait. Errors are those
// of Send hooks, server.ErrBacklog, and one for an opcode that is not text or binary; after
// ErrBacklog some of the members have the message and others will not get it. One member
// that is slow or gone is no error.
func (t *Topic) Publish(op frame.Opcode, b []byte) error {
	return t.publish(Message{Topic: t.name, Opcode: op, Data: [][]byte{b}})
}

// Record is Publish for what Hub.History is to keep for members that join later. It takes the
// topic's lock, so that no member misses a message or hears it twice.
func (t *Topic) Record(op frame.Opcode, b []byte) error {
	return t.publish(Message{Topic: t.name, Opcode: op, Data: [][]byte{b}, Kept: true})
}

// An Encoder makes a message in a dialect; it is asked for the dialects that somebody in the
// topic hears. What it returns is the hub's. It may be called on any goroutine and more than
// once, and must always answer the same: one that is recorded is kept, for members that join
// later and hear another dialect.
type Encoder func(dialect int) []byte

// PublishFunc is Publish for a message that differs by dialect: encode makes each.
func (t *Topic) PublishFunc(op frame.Opcode, encode Encoder) error {
	return t.publish(Message{Topic: t.name, Opcode: op, encode: given(encode)})
}

// RecordFunc is Record for a message that differs by dialect: encode makes each.
func (t *Topic) RecordFunc(op frame.Opcode, encode Encoder) error {
	return t.publish(Message{Topic: t.name, Opcode: op, encode: given(encode), Kept: true})
}

// given returns encode. Without one an empty message would be sent.
func given(encode Encoder) Encoder {
	if encode == nil {
		panic("hub: a message that differs by dialect needs an Encoder, not nil")
	}
	return encode
}

func (t *Topic) publish(m Message) error {
	switch {
	case t.hub.Broker == nil:
		return t.deliver(m)
	case t.forgotten.Load():
		return nil // another topic may have the name now
	}
	return t.hub.Broker.Publish(m.encoded(len(t.voices)))
}

// deliver sends a message to the members here.
func (t *Topic) deliver(m Message) (err error) {
	if m.Retained != 0 {
		return t.hub.Keep(m)
	}
	if m.Kept && t.hub.History > 0 {
		return t.record(m)
	}
	for d := range t.voices {
		if !t.unheard(m, d) {
			err = both(err, t.voices[d].publish(t.encoding(m, d)))
		}
	}
	return err
}

// record is deliver for what is kept.
func (t *Topic) record(m Message) error {
	s := saying{Message: m}
	t.begin(func() bool { return t.isMade(&s) }, func() { t.make(&s) })
	defer t.end()
	k := t.say(&s)
	heard := func(b []byte) bool { return b != nil }
	if !t.forgotten.Load() && slices.ContainsFunc(k.data, heard) {
		t.history.keep(k, t.hub)
	}
	return s.err
}

// begin takes order once the application has made what is needed under it: ready is called
// under order; while it is false, prepare is called without, and then ready again.
func (t *Topic) begin(ready func() bool, prepare func()) {
	for t.order.Lock(); !ready(); t.order.Lock() {
		t.order.Unlock()
		prepare()
	}
}

// end gives order back, and calls what has to be called then: Moved, and for a topic that was
// forgotten the end of its subscription.
func (t *Topic) end() {
	var f *feed
	if t.forgotten.Load() {
		t.history.end(t.hub)
		f = t.feed.Swap(nil)
	}
	tell := len(t.untold) > 0 && !t.telling
	t.telling = t.telling || tell
	t.order.Unlock()
	if f != nil {
		defer f.cancel()
	}
	if tell {
		t.tell()
	}
}

// look completes m by its connection, and returns the user's name: valid for good and not to
// be changed. It leaves m without a topic if the connection is not in this one. It is called
// under hub.mu.
func (t *Topic) look(m *Member) (name []byte) {
	s := &t.hub.seats
	i := s.ofConn(t, m.conn.Key())
	if i == 0 || t.server != m.conn.Server() {
		return nil
	}
	e := s.At(i)
	m.topic, m.dialect, m.join = t, int32(e.dialect), e.join
	return s.nameOf(i)
}

// unheard reports whether m need not be made in a dialect.
func (t *Topic) unheard(m Message, dialect int) bool {
	return m.encode != nil && t.voices[dialect].members.Load() == 0 && len(t.hub.Middleware) == 0
}

// encoding returns what a dialect has of m. Hooks may change it.
func (t *Topic) encoding(m Message, dialect int) server.Message {
	if m.encode != nil {
		return server.Message{Opcode: m.Opcode, Data: m.encode(dialect)}
	}
	b := in(dialect, m.Data)
	if len(t.hub.Middleware) > 0 {
		b = bytes.Clone(b)
	}
	return server.Message{Opcode: m.Opcode, Data: b}
}

// in returns what b has for a dialect.
func in(dialect int, b [][]byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b[min(dialect, len(b)-1)]
}

// both is errors.Join that leaves a single error as it is.
func both(a, b error) error {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return errors.Join(a, b)
}
