//go:build linux

package hub

import (
	"sync"
	"time"

	"github.com/usher-ws/usher/hub/internal/gossip"
)

// This file is how Hub.Note is called at one hub of a cluster when a user comes to a topic, and at one
// when the user goes. The hub that has noted a user owes the other note. When the user leaves it while
// others have the user, it passes that on to one of these: a note of hubs,
//
//	0        1
//	+--------+--------+---------------+--------------+--------------+
//	|letter T| hops   | length, topic | length, user | length, key  |
//	+--------+--------+---------------+--------------+--------------+
//
// A user that is known to be elsewhere is noted there, and is a guest here. Where it is not known who
// is elsewhere, as a topic has just come into use or is so large that hubs tell no names, they are
// asked before either note: topics and users one behind the other, as above. An answer is the node's name behind its
// length, and a byte for each.
const (
	passNote     = 'T'
	passHead     = 2
	maxHops      = 8
	notesPurpose = "notes"

	// holdTime is how long a hub waits for answers before it notes a user. maxHeld is how many wait at
	// most, or are to be passed on; maxAsked of how many one question is, and maxAskedBytes how long.
	holdTime      = 2 * time.Second
	maxHeld       = 4096
	maxAsked      = 256
	maxAskedBytes = 64 << 10

	// heldSize is what each of these takes, and a guest, about.
	heldSize = 150
)

// What a hub answers of a user.
const (
	notHere   byte = iota
	mine           // noted here
	undecided      // here, and it is being asked who else has the user
	guest          // noted elsewhere
)

// held is a user that has come here, while it is asked who notes that; or that has gone, while it is
// asked who else has the user.
type held struct {
	topic, user, key string
	went             bool
	isGone           bool // the user is, that had come
	isDecided        bool
}

// going names a user that has gone from a topic.
type going struct{ topic, user string }

// pass is a note that is owed, on its way to another hub.
type pass struct {
	node, topic, user, key string
	hops                   byte
}

// notes are those that are to be made. Hub.mu guards all but nodes and passing.
type notes struct {
	nodes   Nodes
	passing sync.Mutex // held while a pass leaves; before Hub.mu
	held    []*held
	going   map[going]*held // those of held that went, and are not decided
	passes  []pass
	guests  int // of all topics
}

func (n *notes) size() int { return (len(n.held) + len(n.passes) + n.guests) * heldSize }

// noteCame notes a user that has just come here, if that is this hub's to note. It is called under mu.
func (h *Hub) noteCame(t *Topic, seat uint32) {
	if h.Note == nil {
		return
	}
	name, key := h.seats.names.parts(h.seats.At(seat).name)
	if c := h.cluster; c != nil {
		sure, perhaps := t.far.Holders(string(name), string(key))
		if a := c.notes.going[going{t.name, string(name)}]; a != nil {
			c.decided(a) // the user is back, and what is owed still is
			return
		}
		a := &held{topic: t.name, user: string(name), key: string(key)}
		switch isKnown := len(perhaps) == 0 && !c.view.IsNew(t.far); {
		case len(sure) > 0:
			h.host(t, seat, nil)
			return
		case !isKnown && c.hold(a):
			h.host(t, seat, a)
			return
		}
	}
	h.Note(t.name, string(name), true)
}

// hold has it asked who notes a user, unless too many wait for that.
func (c *cluster) hold(a *held) bool {
	if len(c.notes.held) >= maxHeld {
		return false
	}
	if c.notes.held = append(c.notes.held, a); a.went {
		if c.notes.going == nil {
			c.notes.going = make(map[going]*held)
		}
		c.notes.going[going{a.topic, a.user}] = a
	}
	c.kick()
	return true
}

// decided ends the waiting of a user.
func (c *cluster) decided(a *held) {
	a.isDecided = true
	if k := (going{a.topic, a.user}); c.notes.going[k] == a {
		delete(c.notes.going, k)
	}
}

// noteWent notes a user that is about to be taken out of the table, or has another hub do so.
func (h *Hub) noteWent(t *Topic, seat uint32) {
	if h.Note == nil {
		return
	}
	name, key := h.seats.names.parts(h.seats.At(seat).name)
	if a, isGuest := t.guests[h.seats.At(seat).name]; isGuest {
		h.own(t, seat)
		if a != nil {
			a.isGone = true
		}
		return
	}
	h.owe(pass{topic: t.name, user: string(name), key: string(key)}, t)
}

// owe passes a note on, of a user that is not here, or makes it. t may be nil.
func (h *Hub) owe(p pass, t *Topic) {
	if c := h.cluster; c != nil && t != nil && t.far != nil && p.hops < maxHops && len(c.notes.passes) < maxHeld {
		sure, perhaps := t.far.Holders(p.user, p.key)
		switch isKnown := len(perhaps) == 0 && !c.view.IsNew(t.far); {
		case len(sure) > 0:
			p.node = sure[0]
			c.notes.passes = append(c.notes.passes, p)
			c.kick()
			return
		case !isKnown && c.hold(&held{topic: p.topic, user: p.user, key: p.key, went: true}):
			return
		}
	}
	h.Note(p.topic, p.user, false)
}

// host makes the user of a seat a guest.
func (h *Hub) host(t *Topic, seat uint32, a *held) {
	if t.guests == nil {
		t.guests = make(map[uint32]*held)
	}
	t.guests[h.seats.At(seat).name] = a
	h.cluster.notes.guests++
}

// own ends that.
func (h *Hub) own(t *Topic, seat uint32) {
	name := h.seats.At(seat).name
	if _, isGuest := t.guests[name]; !isGuest {
		return
	}
	if delete(t.guests, name); len(t.guests) == 0 {
		t.guests = nil
	}
	h.cluster.notes.guests--
}

// inherit has this hub owe the notes of its guests whom a node had that is gone: it may have owed
// them. If another hub does so, too, the two are one again when one of them passes its own on.
func (c *cluster) inherit(g gossip.Gone) {
	for _, far := range g.Topics {
		t := c.hub.topics[far.Name()]
		if t == nil {
			continue
		}
		for name, a := range t.guests {
			user, key := c.hub.seats.names.parts(name)
			if a == nil && g.Had(far, string(user), string(key)) {
				delete(t.guests, name)
				c.notes.guests--
			}
		}
	}
}
