//go:build linux

package hub

// This file is what a hub does with the letters of others.

// hearLetter takes a letter or a receipt, and reports whether it is one.
func (c *cluster) hearLetter(b []byte) bool {
	switch {
	case len(b) > 0 && b[0] == receiptNote:
		if r, ok := parseReceipt(b); ok && r.life == c.letters.life {
			c.settle(r.id, r, nil)
		}
		return true
	case len(b) == 0 || b[0] != letterNote:
		return false
	}
	if l, ok := parseLetter(b); ok && c.isNew(&l) {
		r := receipt{letterKey: l.letterKey, node: c.link.Node().Name}
		n, err := c.hub.hand(&l)
		r.n, r.away, r.busy = n, err == ErrAway, err != nil && err != ErrAway
		if l.asks {
			_ = c.link.TellNode(l.from, appendReceipt(nil, &r)) // else the other is told that we are silent
		}
	}
	return true
}

// isNew reports whether a letter has not come before, and whether it can be answered at all.
func (c *cluster) isNew(l *letter) bool {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	read := c.letters.read
	if last, ok := read[l.life]; c.hub.cluster != c || ok && l.id <= last { // Connect has not returned yet
		return false
	}
	if read == nil {
		read = make(map[uint64]uint64)
		c.letters.read = read
	}
	for life := range read {
		if len(read) < maxWriters {
			break
		}
		delete(read, life) // any of them: that a letter comes twice is rare
	}
	read[l.life] = l.id
	return true
}

// hand sends what is in a letter to all connections that the user has here. The name is the one that
// the user has: nothing of the application's is asked what it may stand for.
func (h *Hub) hand(l *letter) (n int, err error) {
	all := scratch.Get().(*hearers)
	defer all.done()
	h.mu.Lock()
	t := h.topics[l.topic]
	first := h.seatNamed(t, l.user)
	if first != 0 {
		t.addHearers(first, all)
	}
	h.mu.Unlock()
	if first != 0 && len(*all) == 0 {
		return 0, ErrAway
	}
	return all.send(l.op, func(dialect int) []byte { return in(dialect, l.data) })
}

// seatNamed returns a seat of the user with a name in a topic, 0 if there is none, or no topic. It is
// called under mu.
func (h *Hub) seatNamed(t *Topic, user string) uint32 {
	name := h.seats.names.find(user)
	if t == nil || name == 0 {
		return 0
	}
	i := h.seats.ofUser(t, string(h.seats.names.key(name)))
	if i != 0 && h.seats.At(i).name != name {
		return 0
	}
	return i
}
