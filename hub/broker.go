//go:build linux

package hub

import (
	"slices"
	"sync"

	"github.com/usher-ws/usher/frame"
)

// Message is something that is published to a topic.
type Message struct {
	Topic  string
	Opcode frame.Opcode // OpText or OpBinary
	Data   [][]byte     // by dialect; the last is for those beyond as well
	Kept   bool         // in the topic's history

	// Retained, unless it is 0, says that the message is what Retain keeps: when it was called, in
	// nanoseconds since 1970, so that of two values of a topic the later one counts. Without Data
	// the value is to be forgotten.
	Retained int64

	encode Encoder // makes Data; nil once a Broker has it
}

// encoded returns m as a Broker gets it, in all dialects: nobody knows what is spoken at
// other hubs.
func (m Message) encoded(dialects int) Message {
	if m.encode != nil {
		m.Data = make([][]byte, dialects)
		for d := range m.Data {
			m.Data[d] = m.encode(d)
		}
		m.encode = nil
	}
	return m
}

// Broker carries what is published from one hub to all. Its methods are safe for any
// goroutine, and must not wait for a network. A hub calls them without a lock.
type Broker interface {
	// Publish delivers m to every hub that is subscribed to its topic, that of the
	// publisher included. What one goroutine publishes is delivered in that order. m is
	// the caller's again when Publish returns.
	Publish(m Message) error

	// Subscribe calls deliver with what is published to the topic, until shortly after
	// cancel is called; a hub calls that once. A hub may subscribe to a topic more than
	// once for a moment: it listens to one subscription and cancels the others. deliver
	// does not wait, and m is the broker's again when it returns; its error is for the
	// publisher, if it can be told.
	Subscribe(topic string, deliver func(m Message) error) (cancel func(), err error)
}

// Local is the broker of hubs that are in one process: what is published in one of
// them is heard in all, on the publisher's goroutine. The zero Local is ready; it
// must not be copied.
type Local struct {
	mu     sync.Mutex // guards topics; the slices in it do not change
	topics map[string][]*subscription
	hubs   []*subscription // to what is retained
}

type subscription struct {
	deliver func(Message) error
}

// Publish delivers m. The error is that of the hubs, joined if there are several.
func (l *Local) Publish(m Message) (err error) {
	l.mu.Lock()
	all := l.topics[m.Topic]
	if m.Retained != 0 {
		all = slices.Concat(all, l.hubs) // a hub that has it twice drops it
	}
	l.mu.Unlock()
	for _, s := range all {
		err = both(err, s.deliver(m))
	}
	return err
}

// Subscribe never fails.
func (l *Local) Subscribe(topic string, deliver func(Message) error) (cancel func(), err error) {
	s := &subscription{deliver}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.topics == nil {
		l.topics = make(map[string][]*subscription)
	}
	l.topics[topic] = append(slices.Clip(l.topics[topic]), s)
	return func() { l.cancel(topic, s) }, nil
}

// SubscribeRetained never fails. A Local keeps the hubs that have called it.
func (l *Local) SubscribeRetained(deliver func(m Message) error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hubs = append(slices.Clip(l.hubs), &subscription{deliver})
	return nil
}

func (l *Local) cancel(topic string, s *subscription) {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(l.topics[topic]), func(other *subscription) bool { return other == s })
	if len(left) == 0 {
		delete(l.topics, topic)
		return
	}
	l.topics[topic] = left
}
