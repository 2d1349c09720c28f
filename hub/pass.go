//go:build linux

package hub

import "encoding/binary"

// This file is how a note that one hub owes goes to another.

// passOne sends a note that is owed to the hub that is to make it, and reports whether there was one.
func (c *cluster) passOne() bool {
	c.notes.passing.Lock()
	defer c.notes.passing.Unlock()
	c.hub.mu.Lock()
	if len(c.notes.passes) == 0 {
		c.notes.passes = nil
		c.hub.mu.Unlock()
		return false
	}
	p := c.notes.passes[0]
	c.notes.passes = c.notes.passes[1:]
	c.hub.mu.Unlock()
	if err := c.link.TellNode(p.node, appendPass(nil, &p)); err != nil {
		c.hub.mu.Lock()
		defer c.hub.mu.Unlock()
		c.hub.Note(p.topic, p.user, false)
	}
	return true
}

// hearPass takes a note that another hub has owed, and reports whether it is one.
func (c *cluster) hearPass(b []byte) bool {
	if len(b) == 0 || b[0] != passNote {
		return false
	}
	p, ok := parsePass(b)
	h := c.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.weigh(nil)
	if !ok || h.Note == nil || h.cluster != c { // Connect has not returned yet
		return true
	}
	t := h.topics[p.topic]
	seat := h.seatNamed(t, p.user)
	switch {
	case seat == 0 && c.notes.going[going{p.topic, p.user}] != nil: // then that is owed once
		return true
	case seat == 0:
		h.owe(p, t)
		return true
	}
	if a := t.guests[h.seats.At(seat).name]; a != nil {
		c.decided(a)
	}
	h.own(t, seat)
	return true
}

func appendPass(b []byte, p *pass) []byte {
	return appendText(appendText(appendText(append(b, passNote, p.hops+1), p.topic), p.user), p.key)
}

// parsePass returns the note that b is, without a node to pass it on to.
func parsePass(b []byte) (p pass, ok bool) {
	if len(b) < passHead || b[0] != passNote {
		return p, false
	}
	p.hops = b[1]
	b = b[passHead:]
	for _, to := range [...]*string{&p.topic, &p.user, &p.key} {
		var text []byte
		if text, b, ok = cutText(b, 0); !ok {
			return p, false
		}
		*to = string(text)
	}
	return p, len(b) == 0
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}
