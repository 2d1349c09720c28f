//go:build linux

package hub

import (
	"iter"
	"math/rand/v2"
	"time"

	"github.com/usher-ws/usher/hub/internal/gossip"
)

const (
	// maxNames is of how many users of a topic hubs tell each other the names, where
	// GatherAbove is not less. Of a larger topic only the number is told.
	maxNames = 4096

	// maxFarBytes is what the names of users at other hubs take at most: about 200,000 of
	// them. Shares of topics that do not fit are only counted.
	maxFarBytes = 32 << 20

	// maxInbox is what may wait to be heard. What is more is lost, and asked for again.
	maxInbox = 8 << 20
)

// cluster is what a hub has to do with others, if its Broker is a Carrier. Hub.mu guards it.
type cluster struct {
	hub        *Hub
	link       Link
	view       gossip.View
	inbox      []heard
	inboxBytes int
	letters    letters
	notes      notes

	// There is one goroutine at most for each of these, and only when there is work.
	isTelling, isHearing, isAsking, isTicking bool
}

// heard is what waits for the goroutine that hears: a message, or that a node is gone.
type heard struct {
	message gossip.Message
	bytes   int
	gone    gossip.Gone
}

// connect ties the hub to others before its first member joins.
func (h *Hub) connect() {
	h.connected.Do(func() {
		carrier, ok := h.Broker.(Carrier)
		if !ok {
			return
		}
		c := &cluster{hub: h, letters: letters{life: rand.Uint64()}}
		c.notes.nodes = carrier.Nodes(notesPurpose)
		link := carrier.Connect(c.hear)
		c.notes.nodes.Serve(c.answerHolds)
		defer h.catchUp(carrier.Nodes(retainedPurpose))
		h.mu.Lock()
		defer h.mu.Unlock()
		c.link = link
		c.view = gossip.View{
			Self: gossip.Node(link.Node()), Local: (*locals)(h),
			MaxNames: maxNames, MaxBytes: maxFarBytes,
		}
		if h.GatherAbove > 0 {
			c.view.MaxNames = min(h.GatherAbove, maxNames)
		}
		h.cluster = c
	})
}

// came notes a user who was not in the topic here before. It is called under mu, as is all that
// follows but for the cluster's own goroutines.
func (h *Hub) came(t *Topic, name, key string) {
	c := h.cluster
	if c == nil {
		return
	}
	if t.far == nil {
		t.far = c.view.Use(t.name)
	}
	c.view.Came(t.far, name, key)
	c.kick()
}

// went notes a user that is about to be taken out of the table.
func (h *Hub) went(t *Topic, seat uint32) {
	if t.far != nil {
		name, key := h.seats.names.parts(h.seats.At(seat).name)
		h.cluster.view.Went(t.far, string(name), string(key))
		h.cluster.kick()
	}
}

// endFar ends a topic that has no users here any more.
func (h *Hub) endFar(t *Topic) {
	if t.far != nil {
		h.cluster.view.Drop(t.far)
		t.far = nil
		h.cluster.kick()
	}
}

// count returns how many users the topic has everywhere, as far as is known; 0 if there is
// nobody here to be told.
func (t *Topic) count() int {
	n := t.users.Len()
	if n > 0 && t.far != nil {
		n += t.far.Others()
	}
	return n
}

// isElsewhere reports whether the user is known to be in the topic at another hub.
func (t *Topic) isElsewhere(name, key string) bool { return t.far != nil && t.far.Has(name, key) }

// isSeatElsewhere is isElsewhere for the user of a seat.
func (t *Topic) isSeatElsewhere(seat uint32) bool {
	if t.far == nil {
		return false
	}
	name, key := t.hub.seats.names.parts(t.hub.seats.At(seat).name)
	return t.far.Has(string(name), string(key))
}

// locals are the users here, for a gossip.View.
type locals Hub

func (l *locals) Users(topic string) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, status []byte) bool) {
		t, s := l.topics[topic], &l.seats
		if t == nil {
			return
		}
		for i := range t.users.All((*byUser)(s), 0) {
			name := s.At(i).name
			if !yield(s.names.name(name), s.status(t, name)) {
				return
			}
		}
	}
}

func (l *locals) Has(topic, name, key string) bool {
	t := l.topics[topic]
	if t == nil {
		return false
	}
	i := l.seats.ofUser(t, key)
	return i != 0 && string(l.seats.nameOf(i)) == name
}

// kick starts what has to be done.
func (c *cluster) kick() {
	if !c.isTelling && (c.view.HasNext() || len(c.notes.passes) > 0) {
		c.isTelling = true
		go c.tell()
	}
	if !c.isAsking && len(c.notes.held) > 0 {
		c.isAsking = true
		go c.ask()
	}
	if !c.isHearing && len(c.inbox) > 0 {
		c.isHearing = true
		go c.listen()
	}
	if !c.isTicking && c.view.InUse() > 0 {
		c.isTicking = true
		time.AfterFunc(gossip.Beat, c.tick)
	}
}

// tell sends what there is to be told, one message after the other.
func (c *cluster) tell() {
	for {
		if c.passOne() {
			continue
		}
		c.hub.mu.Lock()
		to, b, more := c.view.Next()
		c.isTelling = more || len(c.notes.passes) > 0
		goOn := c.isTelling
		c.hub.mu.Unlock()
		switch {
		case !goOn:
			return
		case !more:
			continue
		}
		// What fails is lost, and asked for again.
		switch {
		case to.Topic != "":
			_ = c.link.Tell(to.Topic, b)
		case to.Node != "":
			_ = c.link.TellNode(to.Node, b)
		default:
			_ = c.link.TellAll(b)
		}
	}
}

// tick is called once a Beat while there are topics.
func (c *cluster) tick() {
	h := c.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.view.InUse() == 0 || c.view.IsOver() {
		c.isTicking = false
		return
	}
	for _, g := range c.view.Tick(time.Since(began)) {
		c.end(g)
	}
	c.kick()
	time.AfterFunc(gossip.Beat, c.tick)
}

// end has the users of a node go that is gone.
func (c *cluster) end(g gossip.Gone) {
	c.inherit(g)
	c.inbox = append(c.inbox, heard{gone: g})
	c.lose(g.Node())
}

// leave tells the other hubs that this one has nobody any more.
func (c *cluster) leave() {
	for c.passOne() {
	}
	c.hub.mu.Lock()
	b := c.view.Goodbye()
	c.hub.mu.Unlock()
	_ = c.link.TellAll(b) // or they find out by the silence
}

// size is what all of this takes.
func (c *cluster) size() int { return c.view.Size() + c.inboxBytes + c.letters.bytes + c.notes.size() }
