//go:build linux

package hub

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/usher-ws/usher/frame"
)

// ErrDegraded is what Publish answers when the members at this node have the message, and
// those at other nodes will not get it.
var ErrDegraded = errors.New("hub: other nodes cannot be reached at the moment")

// ErrSilent is what AskNode and DirectEverywhere answer where no answer has come.
var ErrSilent = errors.New("hub: the node is not known, or has not answered")

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

	// A Broker sets these in what it delivers, and ignores them in what it is given: the
	// node that published the message, and its number among all that this node has
	// published to the topic. They are zero where there is one node, and for what comes
	// from outside of the cluster. Numbers of one node only grow.
	From Node
	Seq  uint64

	encode Encoder // makes Data; nil once a Broker has it
}

// Encoded returns a message that is made for those dialects alone that somebody hears. It is
// for a Broker that has something to deliver which was not published by a hub.
func Encoded(topic string, op frame.Opcode, encode Encoder) Message {
	return Message{Topic: topic, Opcode: op, encode: given(encode)}
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

// Broker carries what is published from one hub to all; one that is a [Carrier] carries their
// presence, too. Its methods are safe for any
// goroutine, and but for [Nodes.Ask] and AskNode they must not wait for a network: loops call them. A hub
// calls them without a lock.
type Broker interface {
	// Publish delivers m to every hub that is subscribed to its topic, that of the
	// publisher included. What one goroutine publishes to a topic is delivered in that
	// order. m is the caller's again when Publish returns. The error is ErrDegraded if m
	// is known not to reach other nodes; nil does not say that it has reached them.
	Publish(m Message) error

	// Subscribe calls deliver with what is published to the topic, until shortly after
	// cancel is called; a hub calls that once. A hub may subscribe to a topic more than
	// once for a moment: it listens to one subscription and cancels the others. deliver
	// does not wait, and m is the broker's again when it returns; its error is for the
	// publisher, if it can be told.
	Subscribe(topic string, deliver func(m Message) error) (cancel func(), err error)

	// Nodes returns a way to ask the other nodes. What is asked for one purpose is
	// answered by what was served for it.
	Nodes(purpose string) Nodes
}

// Node is one life of a process in a cluster.
type Node struct {
	Name  string
	Epoch uint64 // of two lives the later has the larger one
}

// Nodes asks the other nodes of a cluster, and answers them.
type Nodes interface {
	// Name is this node's.
	Name() string

	// Ask puts a question to all other nodes that are known, and waits until each has
	// answered or is gone, or ctx is over: silent names those that have not answered. The
	// answers are the caller's. It must not be called on a loop. The error is ErrDegraded,
	// with all known nodes in silent, when none can be asked.
	Ask(ctx context.Context, question []byte) (answers [][]byte, silent []string, err error)

	// AskNode puts a question to the node of that name alone. The error is ErrSilent if it is
	// not known, or has not answered before it was gone or ctx was over. What else it does and
	// returns is as with Ask.
	AskNode(ctx context.Context, name string, question []byte) (answer []byte, err error)

	// Serve sets what answers the questions of other nodes. It is called on goroutines
	// that are not a loop's, several at a time; question is valid until it returns. A
	// node that serves nothing answers with nothing.
	Serve(answer func(question []byte) []byte)
}

// Local is the broker of hubs that are in one process: what is published in one of
// them is heard in all, on the publisher's goroutine. They are one node, and know of no
// other. The zero Local is ready; it must not be copied.
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

// Nodes returns what has nobody to ask.
func (l *Local) Nodes(string) Nodes { return alone{} }

// alone are the nodes beside one that has no others.
type alone struct{}

func (alone) Name() string                                                  { return "" }
func (alone) Ask(context.Context, []byte) (_ [][]byte, _ []string, _ error) { return }
func (alone) AskNode(context.Context, string, []byte) ([]byte, error)       { return nil, ErrSilent }
func (alone) Serve(func([]byte) []byte)                                     {}
