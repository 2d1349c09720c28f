//go:build linux

package hub

import (
	"bytes"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

// Topic is where members hear each other. It is reached through its members; one
// that was forgotten has none, and never will again: who joins its name later is
// in another Topic. All methods are safe for any goroutine.
type Topic struct {
	hub       *Hub
	name      string
	voices    []voice     // by dialect
	forgotten atomic.Bool // set under hub.mu and order

	users   map[string]*user // by Hub.Key of their names; guarded by hub.mu
	members int              // of all users; guarded by hub.mu

	// order is held while the table changes and while that is told, so that moves
	// are told in the order in which they happened; and while a message is kept and
	// published, so that who joins has it from the history or hears it, and not both.
	// It guards what follows.
	order   sync.Mutex
	moves   Move // gathered
	history history
	said    kept   // what is being recorded, as the hooks left it
	cancel  func() // the broker's subscription
}

// voice is how a topic speaks one dialect.
type voice struct {
	group   server.Group
	members atomic.Int32    // who hear it; it changes under order
	publish server.SendFunc // to the group, through the hooks
	record  server.SendFunc // and to Topic.said
}

// newTopic returns an empty topic.
func newTopic(h *Hub, name string) *Topic {
	t := &Topic{
		hub:    h,
		name:   name,
		voices: make([]voice, max(1, h.Dialects)),
		users:  make(map[string]*user),
	}
	t.said.data = make([][]byte, len(t.voices))
	for d := range t.voices {
		v := &t.voices[d]
		v.publish = through(h.Middleware, func(m server.Message) error { return v.group.Send(m.Opcode, m.Data) })
		v.record = through(h.Middleware, func(m server.Message) error {
			err := v.group.Send(m.Opcode, m.Data)
			if err == nil || errors.Is(err, server.ErrBacklog) {
				t.said.op, t.said.data[d] = m.Opcode, append([]byte{}, m.Data...)
			}
			return err
		})
	}
	return t
}

// through returns last behind the Send hooks of mw.
func through(mw []server.Middleware, last server.SendFunc) server.SendFunc {
	for _, m := range slices.Backward(mw) {
		if m.Send != nil {
			last = m.Send(last)
		}
	}
	return last
}

// Name returns what the topic was joined as.
func (t *Topic) Name() string { return t.name }

// Publish sends one message to every connection in the topic, that of the
// publisher included: in each dialect what b has for it, and the last of b in those
// beyond. It takes no lock of the hub and does not wait. An error is a Send hook's,
// or server.ErrBacklog, or one for an opcode that is not text or binary; after
// ErrBacklog some of the members have the message and others will not get it. One
// member that is slow or gone is no error.
func (t *Topic) Publish(op frame.Opcode, b ...[]byte) error {
	return t.publish(Message{Topic: t.name, Opcode: op, Data: b})
}

// Record is Publish for what Hub.History is to keep: who joins later hears it then.
// It takes the topic's lock, so that nobody misses a message or hears it twice;
// Hub.Moved cannot call it.
func (t *Topic) Record(op frame.Opcode, b ...[]byte) error {
	return t.publish(Message{Topic: t.name, Opcode: op, Data: b, Kept: true})
}

// An Encoder makes a message in a dialect; it is asked for those that somebody in the
// topic hears. What it returns is the hub's. It may be called on any goroutine, and must
// always answer the same: one that is recorded is kept, for members that join later and
// hear another dialect.
type Encoder func(dialect int) []byte

// PublishFunc is [Topic.Publish] of what encode makes.
func (t *Topic) PublishFunc(op frame.Opcode, encode Encoder) error {
	return t.publish(Message{Topic: t.name, Opcode: op, encode: encode})
}

// RecordFunc is [Topic.Record] of what encode makes.
func (t *Topic) RecordFunc(op frame.Opcode, encode Encoder) error {
	return t.publish(Message{Topic: t.name, Opcode: op, encode: encode, Kept: true})
}

func (t *Topic) publish(m Message) error {
	switch {
	case t.hub.Broker == nil:
		return t.deliver(m)
	case t.forgotten.Load():
		return nil // others may have the name now
	}
	if m.encode != nil { // nobody knows what is spoken at other hubs
		for d := range t.voices {
			m.Data = append(m.Data, m.encode(d))
		}
		m.encode = nil
	}
	return t.hub.Broker.Publish(m)
}

// deliver sends a message to the members here.
func (t *Topic) deliver(m Message) (err error) {
	if m.Kept && t.hub.History > 0 {
		return t.record(m)
	}
	for d := range t.voices {
		if t.unheard(m, d) {
			continue
		}
		if failed := t.voices[d].publish(t.encoding(m, d)); failed != nil {
			err = failed
		}
	}
	return err
}

// unheard reports whether m need not be made in a dialect.
func (t *Topic) unheard(m Message, dialect int) bool {
	return m.encode != nil && t.voices[dialect].members.Load() == 0 && len(t.hub.Middleware) == 0
}

// record is deliver for what is kept.
func (t *Topic) record(m Message) (err error) {
	if m.encode != nil { // what is heard is made before the lock is taken
		m.Data = make([][]byte, len(t.voices))
		for d := range t.voices {
			if !t.unheard(m, d) {
				m.Data[d] = m.encode(d)
			}
		}
	}
	t.order.Lock()
	defer t.order.Unlock()
	clear(t.said.data)
	later := Encoder(nil)
	for d := range t.voices {
		if t.unheard(m, d) {
			later = m.encode
			continue
		}
		if failed := t.voices[d].record(t.encoding(m, d)); failed != nil {
			err = failed
		}
	}
	k := kept{t.said.op, slices.Clone(t.said.data), later}
	heard := func(b []byte) bool { return b != nil }
	if !t.forgotten.Load() && slices.ContainsFunc(k.data, heard) {
		t.history.keep(k, t.hub)
	}
	return err
}

// encoding returns what a dialect has of m. Hooks may change it.
func (t *Topic) encoding(m Message, dialect int) server.Message {
	if m.encode != nil {
		if dialect < len(m.Data) && m.Data[dialect] != nil {
			return server.Message{Opcode: m.Opcode, Data: m.Data[dialect]}
		}
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

// Direct sends one message, b as for Publish, to all connections that the user has
// in the topic, and to nobody else. n is how many there are: 0 means that the user
// is not here, or, with ErrAway, that only Hub.LeaveGrace keeps them in sight. Any other
// error is the last that [server.Conn.Send] answered for one of the connections; the others
// have the message. A connection that is just ending is no error.
func (t *Topic) Direct(user string, op frame.Opcode, b ...[]byte) (n int, err error) {
	return t.DirectFunc(user, op, func(dialect int) []byte { return in(dialect, b) })
}

// DirectFunc is Direct of what encode makes.
func (t *Topic) DirectFunc(user string, op frame.Opcode, encode Encoder) (n int, err error) {
	var few [8]*Member // so many do not need the heap
	members, here := t.appendMembers(few[:0], user)
	if here && len(members) == 0 {
		return 0, ErrAway
	}
	made := make([][]byte, len(t.voices))
	for _, m := range members {
		if made[m.dialect] == nil {
			made[m.dialect] = encode(int(m.dialect))
		}
		if sent := m.conn.Send(op, made[m.dialect]); sent != nil && !errors.Is(sent, net.ErrClosed) {
			err = sent
		}
	}
	return len(members), err
}

// appendMembers appends the members of a user, and says whether the user is here.
func (t *Topic) appendMembers(dst []*Member, name string) (members []*Member, here bool) {
	key := t.hub.key(name)
	t.hub.mu.Lock()
	defer t.hub.mu.Unlock()
	u := t.users[key]
	if u == nil {
		return dst, false
	}
	return append(dst, u.members...), true
}
