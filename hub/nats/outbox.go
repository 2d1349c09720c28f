//go:build linux

package nats

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/usher-ws/usher/hub"
)

var (
	errFull = fmt.Errorf("nats: the servers take too little: %w", hub.ErrDegraded)
	errSize = fmt.Errorf("nats: a message is larger than max_payload of the servers: %w", hub.ErrDegraded)
)

const (
	// forget is for how many ticks a count is kept that is not used.
	forget = 600

	// markAtOnce is how many counts are marked under the lock, which loops take when they
	// publish: for some 50 µs.
	markAtOnce = 256
)

// outbox is what is to leave, in order: calls of nats.go may wait for the network, and so one
// goroutine makes all of them. It counts what is published, whether it leaves or not.
type outbox struct {
	queue[op]
	node hub.Node

	// Guarded by queue.mu.
	counts   map[string]*count // by topic
	total    uint64            // of all messages, in whatever topic
	ticks    int
	unmarked []*count // whose last message may be the last for long
	markAll  bool     // at the next tick
}

// op is a call of nats.go, and the one of its fields that is set says which.
type op struct {
	publish string // a subject
	data    []byte // to publish
	listen  *room
	leave   *room
	reached chan<- struct{} // is closed
}

// count is the count of a node's messages in a topic.
type count struct {
	token      string // of the topic
	began, seq uint64 // numbers of the first message and of the last
	used       int    // the tick of the last
	isUnmarked bool
}

func (o *outbox) begin(node hub.Node) {
	o.queue = newQueue[op](maxOut)
	o.node = node
	o.counts = make(map[string]*count)
}

// publish numbers an encoded message and puts it behind what was published before, on a subject
// of the topic. With an error there is only the number, of what the others will miss.
func (o *outbox) publish(on, topic string, b []byte, err error) (seq uint64, _ error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.counts[topic]
	if c == nil {
		c = &count{token: Token(topic), began: o.total + 1, seq: o.total}
		o.counts[topic] = c
	}
	c.seq++
	o.total++
	c.used = o.ticks
	if !c.isUnmarked {
		c.isUnmarked = true
		o.unmarked = append(o.unmarked, c)
	}
	if err == nil {
		setCount(b, c.began, c.seq)
		if !o.putLocked(op{publish: on + c.token, data: b}, len(b), false) {
			err = errFull
		}
	}
	return c.seq, err
}

// tick marks what needs it.
func (o *outbox) tick() {
	o.markQuiet()
	all := o.allToMark()
	for len(all) > 0 {
		n := min(len(all), markAtOnce)
		o.mu.Lock()
		for _, c := range all[:n] {
			o.mark(c)
		}
		o.mu.Unlock()
		all = all[n:]
	}
}

// markQuiet marks the counts whose last message was not followed by another within a tick, so
// that those find out that have missed it. It forgets counts that are long quiet.
func (o *outbox) markQuiet() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ticks++
	left := o.unmarked[:0]
	for _, c := range o.unmarked {
		if c.used >= o.ticks-1 {
			left = append(left, c)
			continue
		}
		c.isUnmarked = false
		o.mark(c)
	}
	clear(o.unmarked[len(left):])
	o.unmarked = left
	if o.ticks%(forget/10) == 0 {
		for topic, c := range o.counts {
			if c.used < o.ticks-forget && !c.isUnmarked {
				delete(o.counts, topic)
			}
		}
	}
}

// allToMark returns all counts if they were asked for, unless there is too much in the queue to
// put them there: then they have to wait.
func (o *outbox) allToMark() []*count {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.markAll || o.isBusy() {
		return nil
	}
	o.markAll = false
	return slices.Collect(maps.Values(o.counts))
}

// tellAll has all counts marked, at the next tick.
func (o *outbox) tellAll() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.markAll = true
}

// tell marks the count of a topic for one node, also if nothing was published there.
func (o *outbox) tell(to hub.Node, topic string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c := o.counts[topic]
	if c == nil {
		c = &count{token: Token(topic), began: o.total + 1, seq: o.total}
	}
	o.putMark(marksTo(to), c)
}

// mark publishes a mark to the room. It is called with mu held.
func (o *outbox) mark(c *count) { o.putMark(subjectRoom, c) }

func (o *outbox) putMark(on string, c *count) {
	m := message{mark: true, began: c.began}
	m.From, m.Seq = o.node, c.seq
	b := appendMessage(make([]byte, 0, sizeOf(&m)), &m)
	o.putLocked(op{publish: on + c.token, data: b}, len(b), true)
}

// send makes the call that o is.
func (b *Broker) send(o op) {
	switch {
	case o.publish != "":
		if err := b.nc.Publish(o.publish, o.data); err != nil {
			b.counters.unsent.Add(1) // it has a number, by which others miss it
		}
	case o.listen != nil:
		if err := o.listen.listen(b.nc, b.arrived); err != nil {
			b.log.Error("a room cannot be subscribed to", "room", o.listen.topic, "err", err)
		}
		b.say(subjectSync, &note{body: []byte(o.listen.subject)})
	case o.leave != nil:
		o.leave.leave()
	case o.reached != nil:
		close(o.reached)
	}
}

// say publishes a note of this node.
func (b *Broker) say(subject string, n *note) {
	n.from = b.node
	data := appendNote(nil, n)
	b.out.must(op{publish: subject, data: data}, len(data))
}

// Flush waits until the servers have all that was published before, or ctx is over. The error
// is ErrDegraded if some of it may not have left. That others have it is more than it says.
func (b *Broker) Flush(ctx context.Context) error {
	if b.Degraded() {
		return hub.ErrDegraded
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	unsent := b.counters.unsent.Load()
	reached := make(chan struct{})
	b.out.must(op{reached: reached}, 0)
	select {
	case <-reached:
	case <-ctx.Done():
		return ctx.Err()
	case <-b.done:
		return hub.ErrDegraded
	}
	switch err := b.nc.FlushWithContext(ctx); {
	case err == nil && unsent == b.counters.unsent.Load():
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return hub.ErrDegraded
}
