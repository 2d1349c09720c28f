//go:build linux

package nats

import (
	"errors"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/usher-ws/usher/frame"
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
	out.Seq, lost = b.out.publish(m.Topic, encoded, lost)
	if lost != nil {
		b.counters.unsent.Add(1)
	}
	r := b.rooms.of(m.Topic)
	if r == nil {
		return lost
	}
	if err := b.deliver(r, out.Message); err != nil {
		return errors.Join(err, lost)
	}
	return lost
}

// deliver gives m to the hubs that listen.
func (b *Broker) deliver(r *room, m hub.Message) (err error) {
	b.rooms.mu.RLock()
	feeds := r.feeds
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
	token, isUser := cutUser(msg.Subject)
	if isUser {
		b.hearForUser(token, msg)
		return
	}
	r := b.rooms.on(msg.Subject)
	switch {
	case r == nil: // the last member has just left
	case isOurs(msg.Data):
		b.hearNode(r, msg.Data)
	default:
		b.hearForRoom(r, msg)
	}
}

// hearNode delivers what another node has published, unless it was heard before.
func (b *Broker) hearNode(r *room, data []byte) {
	m, err := parseMessage(data)
	if err != nil {
		b.counters.malformed(err)
		return
	}
	if m.From == b.node { // of a server that does not know what NoEcho is
		return
	}
	if m.told {
		b.hubs.hear(m.Data)
		return
	}
	h := r.heard[m.From.Name]
	if h == nil {
		h = new(heard)
		r.heard[m.From.Name] = h
	}
	missing, isNew := h.take(m.From, m.began, m.Seq, m.mark)
	b.lose(r.topic, missing)
	switch {
	case isNew:
		m.Topic = r.topic
		b.counters.received.Add(1)
		b.arrive(r, m.Message)
	case !m.mark:
		b.counters.repeated.Add(1)
	}
}

// arrive delivers what came from elsewhere. A topic that takes no more has lost it.
func (b *Broker) arrive(r *room, m hub.Message) {
	if err := b.deliver(r, m); errors.Is(err, server.ErrBacklog) {
		b.lose(r.topic, 1)
	}
}

// lose counts and tells what a topic has missed.
func (b *Broker) lose(topic string, n uint64) {
	if n == 0 {
		return
	}
	b.counters.lost.Add(n)
	if b.config.Lost != nil {
		b.config.Lost(topic, n)
	}
}

// opcode is that of messages of backends.
const opcode = frame.OpText
