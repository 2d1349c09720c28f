//go:build linux

package nats

import (
	"slices"
	"sync"

	"github.com/usher-ws/usher/hub"
)

// hubs are those of this node that hear what others tell.
type hubs struct {
	mu  sync.Mutex
	all []func([]byte) // the slice does not change
}

// hear passes on what was told.
func (l *hubs) hear(told [][]byte) {
	l.mu.Lock()
	all := l.all
	l.mu.Unlock()
	for _, b := range told {
		for _, hear := range all {
			hear(b)
		}
	}
}

// Connect is hub.Carrier's.
func (b *Broker) Connect(hear func(b []byte)) hub.Link {
	b.hubs.mu.Lock()
	defer b.hubs.mu.Unlock()
	b.hubs.all = append(slices.Clip(b.hubs.all), hear)
	return link{b}
}

// link is how a hub tells others.
type link struct{ b *Broker }

func (l link) Node() hub.Node { return l.b.node }

// Tell goes with the messages of the room, so that it takes no subscription of its own.
func (l link) Tell(topic string, told []byte) error {
	m := message{told: true, began: 1, Message: hub.Message{From: l.b.node, Data: [][]byte{told}}}
	size := sizeOf(&m)
	switch {
	case len(topic) > maxTopic:
		return errTopic
	case l.b.Degraded():
		return hub.ErrDegraded
	case int64(size) > l.b.maxPayload.Load():
		return errSize
	}
	data := appendMessage(make([]byte, 0, size), &m)
	if !l.b.out.put(op{publish: subjectRoom + Token(topic), data: data}, size) {
		return errFull
	}
	return nil
}

func (l link) TellAll(told []byte) error { return l.tell(subjectTell, told) }

func (l link) TellNode(name string, told []byte) error { return l.tell(tellingsTo(name), told) }

func (l link) tell(subject string, told []byte) error {
	n := note{from: l.b.node, body: told}
	data := appendNote(nil, &n)
	switch {
	case l.b.Degraded():
		return hub.ErrDegraded
	case int64(len(data)) > l.b.maxPayload.Load():
		return errSize
	case !l.b.out.put(op{publish: subject, data: data}, len(data)):
		return errFull
	}
	return nil
}

// tellings is the subject on which this node is told something alone.
func (b *Broker) tellings() string { return tellingsTo(b.node.Name) }

func tellingsTo(name string) string { return subjectTell + "." + Token(name) }
