//go:build linux

package nats

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/usher-ws/usher/hub"
	"github.com/usher-ws/usher/server"
)

// maxTopic is how long a topic's name can be. Its subject must fit into a line of NATS's
// protocol: 4,096 bytes, if the servers say nothing else.
const maxTopic = 2048

var errTopic = errors.New("nats: the name of a topic has 2048 bytes at most")

// rooms are the topics that hubs of this node listen to.
type rooms struct {
	mu        sync.RWMutex
	byTopic   map[string]*room
	bySubject map[string]*room
	keepers   []*feed // of what is retained in any topic; the slice does not change
}

// room is one of them, from its first subscription to its last.
type room struct {
	topic, subject string
	feeds          []*feed            // guarded by rooms.mu; the slices in it do not change
	sub            *nats.Subscription // Broker.send's
	heard          map[string]*heard  // by node: of the goroutine that delivers for the subject
}

// feed is a subscription of a hub.
type feed struct{ deliver func(hub.Message) error }

// Subscribe is hub.Broker's. It fails for a topic whose name has more than 2048 bytes, and for
// no other: the servers hear of it as soon as they can be reached, and what is published at
// other nodes before that is not heard.
func (b *Broker) Subscribe(topic string, deliver func(m hub.Message) error) (cancel func(), err error) {
	if len(topic) > maxTopic {
		return nil, errTopic
	}
	f := &feed{deliver}
	b.rooms.mu.Lock()
	defer b.rooms.mu.Unlock()
	r := b.rooms.byTopic[topic]
	if r == nil {
		r = &room{topic: topic, subject: subjectRoom + Token(topic), heard: make(map[string]*heard)}
		b.rooms.byTopic[topic], b.rooms.bySubject[r.subject] = r, r
		b.out.must(op{listen: r}, len(r.subject)) // under the lock: in the order of the table
	}
	r.feeds = append(slices.Clip(r.feeds), f)
	return func() { b.cancel(r, f) }, nil
}

// SubscribeRetained is hub.Retainer's. It never fails.
func (b *Broker) SubscribeRetained(deliver func(m hub.Message) error) error {
	b.rooms.mu.Lock()
	defer b.rooms.mu.Unlock()
	b.rooms.keepers = append(slices.Clip(b.rooms.keepers), &feed{deliver})
	return nil
}

// cancel ends a subscription, and with the last one the room.
func (b *Broker) cancel(r *room, f *feed) {
	b.rooms.mu.Lock()
	defer b.rooms.mu.Unlock()
	r.feeds = slices.DeleteFunc(slices.Clone(r.feeds), func(other *feed) bool { return other == f })
	if len(r.feeds) == 0 {
		delete(b.rooms.byTopic, r.topic)
		delete(b.rooms.bySubject, r.subject)
		b.out.must(op{leave: r}, len(r.subject))
	}
}

func (r *room) listen(nc *nats.Conn, to chan *nats.Msg) (err error) {
	r.sub, err = nc.ChanSubscribe(r.subject, to)
	return err
}

func (r *room) leave() {
	if r.sub != nil {
		_ = r.sub.Unsubscribe() // fails only if the connection is closed for good
	}
}

// of returns the room of a topic, and on that of a subject: nil if nobody listens.
func (l *rooms) of(topic string) *room   { return l.find(l.byTopic, topic) }
func (l *rooms) on(subject string) *room { return l.find(l.bySubject, subject) }

func (l *rooms) find(in map[string]*room, name string) *room {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return in[name]
}

// Publish is hub.Broker's: members at this node have m when it returns, those at other nodes
// will get it in the order in which it was published here.
func (b *Broker) Publish(m hub.Message) error {
	out := message{Message: m, began: 1}
	out.From = b.node
	var lost error // as the others will not get it
	var encoded []byte
	switch size := sizeOf(&out); {
	case !b.connected.Load():
		lost = hub.ErrDegraded
	case len(m.Topic) > maxTopic:
		return errTopic // and nobody can be in it
	case int64(size) > b.maxPayload.Load():
		lost = errSize
	default:
		encoded = appendMessage(make([]byte, 0, size), &out)
	}
	on := subjectRoom
	if m.Retained != 0 {
		on = subjectValue // which all nodes hear, and those with members in the room do not hear twice
	}
	out.Seq, lost = b.out.publish(on, m.Topic, encoded, lost)
	if lost != nil {
		b.counters.unsent.Add(1)
	}
	if err := b.deliver(b.rooms.of(m.Topic), out.Message); err != nil {
		return errors.Join(err, lost)
	}
	return lost
}

// deliver gives m to the hubs that listen to its room, which is nil if there are none, and what
// is retained to all.
func (b *Broker) deliver(r *room, m hub.Message) (err error) {
	var feeds []*feed
	b.rooms.mu.RLock()
	if r != nil && m.Retained != hub.Unstamped {
		feeds = r.feeds
	}
	if m.Retained != 0 {
		feeds = slices.Concat(feeds, b.rooms.keepers) // a hub that has it twice drops it
	}
	b.rooms.mu.RUnlock()
	for _, f := range feeds {
		if e := f.deliver(m); err == nil {
			err = e
		} else if e != nil {
			err = errors.Join(err, e)
		}
	}
	return err
}

// hear delivers a message that came.
func (b *Broker) hear(msg *nats.Msg) {
	dot := strings.LastIndexByte(msg.Subject, '.') + 1
	kind, token := msg.Subject[:dot], msg.Subject[dot:]
	r := b.rooms.on(subjectRoom + token)
	switch {
	case kind == subjectUser:
		b.hearForUser(token, msg)
	case kind == subjectRetain:
		b.hearToRetain(r, token, msg)
	case kind == subjectRelay:
		b.hearRelay(r, token, msg)
	case kind == subjectValue, r != nil && (kind != subjectRoom || isOurs(msg.Data)):
		b.hearNode(r, token, msg.Data)
	case r != nil: // or the last member has just left
		b.hearForRoom(r, token, msg)
	}
}

// hearNode delivers what another node has published, unless it was heard before.
func (b *Broker) hearNode(r *room, token string, data []byte) {
	m, err := parseMessage(data)
	topic, ok := nameOf(token)
	switch {
	case err != nil || !ok:
		b.counters.malformed(err)
		return
	case m.From == b.node: // of a server that does not know what NoEcho is
		return
	case m.told:
		b.hubs.hear(m.Data)
		return
	}
	isNew := !m.mark
	if r != nil {
		var missing uint64
		missing, isNew = r.of(m.From.Name).take(m.From, m.began, m.Seq, m.mark)
		b.lose(r, missing)
	}
	switch {
	case isNew:
		m.Topic = topic
		b.counters.received.Add(1)
		b.arrive(r, m.Message)
	case !m.mark:
		b.counters.repeated.Add(1)
	}
}

// of returns how far the room has heard a node.
func (r *room) of(node string) *heard {
	h := r.heard[node]
	if h == nil {
		h = new(heard)
		r.heard[node] = h
	}
	return h
}

// arrive delivers what came from elsewhere to a room, or to those that keep what is retained. A
// room that takes no more has lost it.
func (b *Broker) arrive(r *room, m hub.Message) {
	if err := b.deliver(r, m); r != nil && errors.Is(err, server.ErrBacklog) {
		b.lose(r, 1)
	}
}

// lose counts what a room has missed, and tells its members.
func (b *Broker) lose(r *room, n uint64) {
	if n == 0 {
		return
	}
	b.counters.lost.Add(n)
	if b.config.Lost == nil {
		return
	}
	if encode := b.config.Lost(r.topic, n); encode != nil {
		_ = b.deliver(r, hub.Encoded(r.topic, opcode, encode)) // a room that takes no more misses this, too
	}
}
