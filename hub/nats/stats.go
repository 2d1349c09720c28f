//go:build linux

package nats

import (
	"errors"
	"sync/atomic"
)

// Stats are counts since Connect.
type Stats struct {
	Received  uint64 // messages of other nodes and of backends that were delivered here
	Unsent    uint64 // messages, and what nodes say about themselves, that did not leave this node
	Lost      uint64 // messages of other nodes for topics here that will never come
	Repeated  uint64 // messages that came a second time, and were not delivered again
	Dropped   uint64 // messages that came faster than they could be delivered; they are in Lost, too, if they are a node's
	Refused   uint64 // messages of backends that were no message
	Unknown   uint64 // of another version than this node speaks
	Malformed uint64 // of no version at all
}

type counters struct {
	received, unsent, lost, repeated, dropped, refused, unknown, broken atomic.Uint64
}

// malformed counts what could not be parsed, or nil if it came on a subject that is none.
func (c *counters) malformed(err error) {
	if errors.Is(err, errVersion) {
		c.unknown.Add(1)
		return
	}
	c.broken.Add(1)
}

// Stats returns the counts.
func (b *Broker) Stats() Stats {
	c := &b.counters
	return Stats{
		Received:  c.received.Load(),
		Unsent:    c.unsent.Load(),
		Lost:      c.lost.Load(),
		Repeated:  c.repeated.Load(),
		Dropped:   c.dropped.Load(),
		Refused:   c.refused.Load(),
		Unknown:   c.unknown.Load(),
		Malformed: c.broken.Load(),
	}
}
