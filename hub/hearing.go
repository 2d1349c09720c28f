//go:build linux

package hub

import (
	"slices"
	"time"

	"github.com/usher-ws/usher/hub/internal/gossip"
)

// hear takes what another hub tells. Questions are answered at once; what changes here is made by
// another goroutine, as that calls the application.
func (c *cluster) hear(b []byte) {
	if c.hub.hearRetained(b) || c.hearLetter(b) || c.hearPass(b) {
		return
	}
	m, err := gossip.Parse(b)
	if err != nil {
		return // it is of another version, or no hub's
	}
	h, now := c.hub, time.Since(began)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cluster != c { // Connect has not returned yet
		return
	}
	defer h.weigh(nil)
	if c.view.IsOver() {
		return
	}
	if gone, ok := c.view.Part(&m); ok {
		c.end(gone)
	}
	if bytes := 4 * len(b); c.view.Heard(&m, now) && c.inboxBytes+bytes <= maxInbox { // parsed it takes more
		c.inbox = append(c.inbox, heard{message: m, bytes: bytes})
		c.inboxBytes += bytes
	}
	c.kick()
}

// listen makes the changes that others have told of, in the order in which they came.
func (c *cluster) listen() {
	over := false
	var next heard
	defer func() {
		if !over { // what the application is asked has ended this goroutine
			c.putBack(next)
			go c.listen()
		}
	}()
	for {
		var more bool
		if next, more = c.nextHeard(); !more {
			over = true
			return
		}
		for len(next.gone.Topics) > 0 {
			t := next.gone.Topics[0]
			next.gone.Topics = next.gone.Topics[1:]
			c.change(func() []gossip.Change { return c.view.Leave(next.gone, t) })
		}
		if c.hub.Key != nil {
			next.message.SetKeys(c.hub.Key)
		}
		for part := range next.message.Parts() {
			c.change(func() []gossip.Change { return c.view.Hear(&next.message, part) })
		}
	}
}

// nextHeard returns what is next, or ends the hearing.
func (c *cluster) nextHeard() (next heard, more bool) {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	defer c.hub.weigh(nil)
	if len(c.inbox) == 0 {
		c.inbox, c.isHearing = nil, false
		return heard{}, false
	}
	next, c.inbox[0], c.inbox = c.inbox[0], heard{}, c.inbox[1:]
	c.inboxBytes -= next.bytes
	return next, true
}

// putBack lets the topics be heard of that a node has yet to be taken out of. What is left of a
// message is asked for again.
func (c *cluster) putBack(rest heard) {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	if len(rest.gone.Topics) > 0 {
		c.inbox = slices.Insert(c.inbox, 0, heard{gone: rest.gone})
	}
}

// change makes the changes that of returns under mu.
func (c *cluster) change(of func() []gossip.Change) {
	h := c.hub
	h.mu.Lock()
	all := of()
	h.mu.Unlock()
	done := 0
	defer func() {
		for ; done < len(all); done++ { // without a word: what the application is asked has ended this goroutine
			c.apply(&all[done])
		}
	}()
	for ; done < len(all); done++ {
		far := all[done].Topic()
		h.mu.Lock()
		t := h.topics[far.Name()]
		isSame := t != nil && t.far == far
		h.mu.Unlock()
		if isSame {
			t.change(&all[done])
		}
	}
}

// change makes a change at another hub, and tells of it in one step with that.
func (t *Topic) change(c *gossip.Change) {
	var a announcement
	var m Move
	isNews := false
	t.begin(func() bool {
		m, isNews = t.moveBy(c)
		return m.User == "" || t.gathers(m.Count) || t.isAnnounced(&a, m, nil)
	}, func() { t.makeAnnouncement(&a) })
	defer t.end()
	t.hub.cluster.apply(c)
	switch {
	case m.User != "" && !t.gathers(m.Count):
		t.announce(&a)
	case m.Joined > 0 || m.Left > 0:
		t.gather(m)
	case isNews:
		t.isCountNews = true
		t.tellSoon()
	}
}

// moveBy returns what a change means to the members here: nothing if the user is in the topic
// elsewhere or here, and no more than the numbers if these are all that is known. It is called
// under order.
func (t *Topic) moveBy(c *gossip.Change) (m Move, isNews bool) {
	h := t.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.far != c.Topic() {
		return Move{}, false
	}
	e := h.cluster.view.Effect(c)
	if h.Announce == nil && h.Moved == nil {
		return Move{}, false
	}
	m = Move{User: e.User, Joined: e.Joined, Left: e.Left}
	if m.User != "" {
		m.Node = c.Node()
		m.Count = t.count() + m.Joined - m.Left
	}
	return m, e.IsNews
}

func (c *cluster) apply(change *gossip.Change) {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	defer c.hub.weigh(nil)
	c.view.Apply(change)
	c.kick()
}
