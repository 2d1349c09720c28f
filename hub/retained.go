//go:build linux

package hub

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/server"
)

// ErrTooManyRetained is what Retain answers when Hub.MaxRetained other topics have a retained
// value, when all of these take what they may, or when the value by itself is too large.
var ErrTooManyRetained = errors.New("hub: too many retained values, or too large a one")

// defaultRetained is how many values a hub retains.
const defaultRetained = 10_000

// Retainer is a [Broker] that also carries what is retained, so that each hub has it, in its place
// among what is published to the topic. A hub finds out by itself whether its Broker is one; if it
// is only a [Carrier], values go that way, and in no such order. With any other Broker members of
// other hubs hear a value when it is retained, and their hubs do not keep it, unless the Broker
// delivers Message.Retained.
type Retainer interface {
	Broker

	// SubscribeRetained calls deliver with every message whose Retained is not 0, of all topics,
	// as long as the hub lasts: a hub calls it once, at its first Join or Retain, or at Listen. deliver does
	// not wait, and m is the broker's again when it returns. What comes by Subscribe as well does
	// no harm.
	SubscribeRetained(deliver func(m Message) error) error
}

// retention is the retained value of a topic.
type retention struct {
	at   int64             // Message.Retained
	made []*frame.Prepared // by dialect; nil where a hook has refused it
	size int
}

// Retain publishes a message to a topic and keeps it for those that join later, instead of what
// was retained there before; also if the topic has no members yet, in which case it is not made.
// encode makes it in all dialects, before Retain returns. A member that joins hears it right
// behind the history, and then what is published later: each message once. The history does not
// have it. A user that joins more often than Hub.ReplayRate hears neither.
//
// The errors are ErrTooManyRetained, and then nothing is published; those of Publish, and of a
// Broker. With a Broker other hubs hear it as what is published, and keep it, too; of two values
// that are retained at two hubs at the same time all hubs keep the same one, and some members may
// hear that one only.
func (h *Hub) Retain(topic string, op frame.Opcode, encode Encoder) error {
	m := Message{Topic: topic, Opcode: op, Retained: h.nextRetained(), encode: given(encode)}
	m = m.encoded(max(1, h.Dialects))
	for d, b := range m.Data {
		if b == nil {
			m.Data[d] = []byte{} // nil is for what is not there in a dialect
		}
	}
	return h.retain(m)
}

// Retained returns what is retained of a topic in a dialect, not to be changed, and false if
// nothing is.
func (h *Hub) Retained(topic string, dialect int) (server.Message, bool) {
	if dialect < 0 || dialect >= max(1, h.Dialects) {
		return server.Message{}, false
	}
	p := h.retainedFor(topic, dialect)
	if p == nil {
		return server.Message{}, false
	}
	return server.Message{Opcode: p.Opcode(), Data: p.Payload()}, true
}

// Forget drops what is retained of a topic, and reports whether there was something. Members are
// told nothing. With a Broker other hubs forget it, too; if the Broker cannot tell them nothing
// is forgotten here, and Forget returns false.
func (h *Hub) Forget(topic string) bool {
	h.mu.Lock()
	_, was := h.retained[topic]
	h.mu.Unlock()
	if !was {
		return false
	}
	return h.retain(Message{Topic: topic, Retained: h.nextRetained()}) == nil
}

// AllRetained returns what is retained, and without Data what was forgotten in the last hour, as Keep
// takes them: for another hub that has missed it.
func (h *Hub) AllRetained() []Message {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forgotten.tidy(time.Now().UnixNano(), h.maxRetained())
	all := make([]Message, 0, len(h.retained)+len(h.forgotten.at))
	for topic, at := range h.forgotten.at {
		all = append(all, Message{Topic: topic, Retained: at})
	}
	for topic, v := range h.retained {
		m := Message{Topic: topic, Retained: v.at, Data: make([][]byte, len(v.made))}
		for d, p := range v.made {
			if p != nil {
				m.Opcode, m.Data[d] = p.Opcode(), p.Payload()
			}
		}
		all = append(all, m)
	}
	return all
}

// Keep does what Retain or Forget does with the word of another hub, unless a later one is here: then
// it does nothing. That a value was forgotten is known for an hour, of as many topics as may have
// values. m is the caller's again when Keep returns. It is for a [Broker], and for programs that
// bring hubs together.
func (h *Hub) Keep(m Message) error {
	if m.Retained == Unstamped {
		m.Retained = h.stamp(m.Topic)
	}
	m = m.encoded(max(1, h.Dialects))
	for {
		h.mu.Lock()
		isLate := h.isLate(m)
		h.lastRetained = max(h.lastRetained, m.Retained)
		h.mu.Unlock()
		if isLate {
			return nil
		}
		m = m.encoded(max(1, h.Dialects))
		s, v := h.newRetention(m)
		if v == nil {
			return s.err
		}
		t, err := h.keepUnheard(m.Topic, v)
		if t == nil {
			return both(s.err, err)
		}
		if done, err := t.keep(&s, v); done {
			return err
		} // or it was forgotten meanwhile
	}
}

// retain keeps m here and has the Broker carry it.
func (h *Hub) retain(m Message) error {
	carry, err := h.carrying()
	switch {
	case err != nil:
		return err
	case len(m.Data) == 0: // to be forgotten: not before the others know
		if err := carry(m); err != nil {
			return err
		}
		return h.Keep(m)
	}
	if err = h.Keep(m); errors.Is(err, ErrTooManyRetained) {
		return err
	}
	return both(err, carry(m)) // what comes back of it is late
}

// carrying returns what tells the other hubs of a value.
func (h *Hub) carrying() (carry func(m Message) error, err error) {
	if h.Broker == nil {
		return func(Message) error { return nil }, nil
	}
	h.connect()
	h.mu.Lock()
	c := h.cluster
	h.mu.Unlock()
	_, isRetainer := h.Broker.(Retainer) // it keeps the order of the topic, which a Link to all does not
	if c != nil && !isRetainer {
		return func(m Message) error { return tellRetained(c.link, m) }, nil
	}
	return func(m Message) error {
		if len(m.Data) == 0 && !isRetainer {
			return nil // it would be heard as a message
		}
		return h.Broker.Publish(m)
	}, h.listen()
}

// Listen has the hub hear what others retain before it has had a member, if its Broker is a
// [Retainer]; with its first member, or value, it does so by itself. It is for hubs that others
// retain something for beforehand, and can be called again. The error is the Broker's.
func (h *Hub) Listen() error {
	if h.Broker == nil {
		return nil
	}
	return h.listen()
}

// listen has the hub hear what others retain, once.
func (h *Hub) listen() error {
	r, ok := h.Broker.(Retainer)
	if !ok || h.listening.Load() || !h.listening.CompareAndSwap(false, true) {
		return nil
	}
	err := r.SubscribeRetained(h.Keep)
	if err != nil {
		h.listening.Store(false)
	}
	return err
}

// nextRetained returns a time for Message.Retained that is later than all that were seen.
func (h *Hub) nextRetained() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lastRetained = max(h.lastRetained+1, time.Now().UnixNano())
	return h.lastRetained
}

// newRetention makes the value that is to be kept of a message, and what is to be said of it: none
// of one without data, and no value either of one that hooks have refused in all dialects. It is
// called without a lock.
func (h *Hub) newRetention(m Message) (s saying, v *retention) {
	s.Message, v = m, &retention{at: m.Retained}
	if len(m.Data) == 0 {
		return s, v
	}
	s.made = make([][]server.Message, max(1, h.Dialects))
	v.made, v.size = make([]*frame.Prepared, len(s.made)), len(m.Topic)+keptCost
	for d := range s.made {
		b := in(d, m.Data)
		if b == nil {
			continue // a hook has refused it, elsewhere
		}
		passed, err := h.letThrough(server.Message{Opcode: m.Opcode, Data: b})
		s.made[d], s.err = passed, both(s.err, err)
		if n := len(passed); n > 0 {
			p := frame.Prepare(passed[n-1].Opcode, passed[n-1].Data)
			v.made[d], v.size = p, v.size+2*len(p.Bytes())+keptCost // it can be there compressed, too
		}
	}
	if !slices.ContainsFunc(v.made, func(p *frame.Prepared) bool { return p != nil }) {
		return s, nil
	}
	return s, v
}

// letThrough returns what the hooks let through of a message that is not yet for a certain topic.
func (h *Hub) letThrough(m server.Message) (passed []server.Message, err error) {
	if len(h.Middleware) > 0 {
		m = owned(m) // they may change it
	}
	err = through(h.Middleware, func(m server.Message) error {
		passed = append(passed, owned(m))
		return nil
	})(m)
	return passed, err
}

// keepUnheard keeps a value of a topic that is not in use. If it is, it returns the topic.
func (h *Hub) keepUnheard(topic string, v *retention) (*Topic, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.topics[topic]; t != nil {
		return t, nil
	}
	_, err := h.putRetained(topic, v)
	return nil, err
}

// keep keeps a value and says it to the members, in one step. It is not done and there is no error
// if the topic was forgotten.
func (t *Topic) keep(s *saying, v *retention) (done bool, err error) {
	t.order.Lock()
	defer t.end()
	if t.forgotten.Load() {
		return false, nil
	}
	t.hub.mu.Lock()
	isNew, err := t.hub.putRetained(t.name, v)
	t.hub.mu.Unlock()
	if !isNew || err != nil || s.made == nil {
		return true, err
	}
	t.say(s)
	return true, s.err
}

// putRetained puts a value into the table, or takes the one out that is there, and reports whether
// it has: not if a later one is there. It is called under mu.
func (h *Hub) putRetained(topic string, v *retention) (isNew bool, err error) {
	defer h.weigh(nil)
	before := h.retained[topic]
	if h.lastWord(topic) >= v.at {
		return false, nil
	}
	if v.made != nil && !h.hasRoomFor(before, v.size) {
		return false, ErrTooManyRetained
	}
	if before != nil {
		h.retainedBytes -= before.size
		if delete(h.retained, topic); len(h.retained) == 0 {
			h.retained = nil // the map would keep its memory
		}
	}
	if v.made == nil {
		h.forgotten.add(topic, v.at, time.Now().UnixNano(), h.maxRetained())
		return before != nil, nil
	}
	h.forgotten.drop(topic)
	if h.retained == nil {
		h.retained = make(map[string]*retention)
	}
	h.retained[topic] = v
	h.retainedBytes += v.size
	return true, nil
}

// isLate reports whether a word is here that is as late as m or later. It is called under mu.
func (h *Hub) isLate(m Message) bool { return h.lastWord(m.Topic) >= m.Retained }

// hasRoomFor reports whether a value of so many bytes may be kept instead of one that may be nil.
// All of them may take a quarter of what histories may. It is called under mu.
func (h *Hub) hasRoomFor(before *retention, size int) bool {
	n, bytes := len(h.retained)+1, h.retainedBytes+size
	if before != nil {
		n, bytes = n-1, bytes-before.size
	}
	return n <= h.maxRetained() && size <= 2*maxTopicHistory && bytes <= cmp.Or(h.HistoryBytes, defaultHistoryBytes)/4
}

// retainedFor returns what a member that joins hears of a retained value, nil for nothing.
func (h *Hub) retainedFor(topic string, dialect int) *frame.Prepared {
	h.mu.Lock()
	defer h.mu.Unlock()
	if v := h.retained[topic]; v != nil {
		return v.made[dialect]
	}
	return nil
}
