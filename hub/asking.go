//go:build linux

package hub

import "context"

// This file is how hubs ask each other who notes a user, or who has one that has gone.

// ask finds out who notes the users that wait for it, as long as there are any.
func (c *cluster) ask() {
	for {
		c.hub.mu.Lock()
		var question []byte
		n := 0
		for _, a := range c.notes.held[:min(len(c.notes.held), maxAsked)] {
			if question = appendText(appendText(question, a.topic), a.user); len(question) > maxAskedBytes && n > 0 {
				break
			}
			n++
		}
		if c.isAsking = n > 0; !c.isAsking {
			c.notes.held = nil
			c.hub.mu.Unlock()
			return
		}
		c.hub.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), holdTime)
		answers, _, _ := c.notes.nodes.Ask(ctx, question) // of those that do not answer nothing is known
		cancel()
		c.hub.mu.Lock()
		for i, a := range c.notes.held[:n] {
			if a.went {
				c.settleWent(a, c.whereIs(answers, i))
			} else {
				c.settleCame(a, c.isNoted(answers, i))
			}
		}
		c.notes.held = c.notes.held[n:]
		c.hub.weigh(nil)
		c.hub.mu.Unlock()
	}
}

// isNoted reports whether another hub notes user i of a question. Of two that ask each other it is
// the one whose name comes first.
func (c *cluster) isNoted(answers [][]byte, i int) bool {
	for _, b := range answers {
		if node, s := stateOf(b, i); s == mine || s == undecided && node < c.notes.nodes.Name() {
			return true
		}
	}
	return false
}

// whereIs returns another node that has user i of a question, "" if none has.
func (c *cluster) whereIs(answers [][]byte, i int) string {
	for _, b := range answers {
		if node, s := stateOf(b, i); s != notHere {
			return node
		}
	}
	return ""
}

// stateOf returns what a node answers of user i.
func stateOf(answer []byte, i int) (node string, state byte) {
	name, states, ok := cutText(answer, 0)
	if !ok || i >= len(states) {
		return "", notHere
	}
	return string(name), states[i]
}

// settleWent ends the waiting of a user that has gone, whom another node may have. It is called under
// mu.
func (c *cluster) settleWent(a *held, node string) {
	switch {
	case a.isDecided:
	case node == "":
		c.hub.Note(a.topic, a.user, false)
	default:
		c.notes.passes = append(c.notes.passes, pass{node: node, topic: a.topic, user: a.user, key: a.key})
		c.kick()
	}
	c.decided(a)
}

// settleCame ends the waiting of a user that has come. It is called under mu.
func (c *cluster) settleCame(a *held, isNoted bool) {
	h := c.hub
	if a.isDecided {
		return
	}
	c.decided(a)
	t := h.topics[a.topic]
	if seat := h.seatNamed(t, a.user); seat != 0 && t.guests[h.seats.At(seat).name] == a {
		if isNoted {
			t.guests[h.seats.At(seat).name] = nil
		} else {
			h.own(t, seat)
		}
	}
	if isNoted {
		return
	}
	h.Note(a.topic, a.user, true)
	if a.isGone { // another hub that has asked us may count on this one
		h.owe(pass{topic: a.topic, user: a.user, key: a.key}, t)
	}
}

// settleAll notes all that wait for it. It is called under mu.
func (c *cluster) settleAll() {
	for _, a := range c.notes.held {
		if a.went {
			c.settleWent(a, "")
		} else {
			c.settleCame(a, false)
		}
	}
}

// answerHolds answers which users are noted here.
func (c *cluster) answerHolds(question []byte) []byte {
	h := c.hub
	answer := appendText(nil, c.notes.nodes.Name())
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(question) > 0 {
		topic, rest, ok := cutText(question, 0)
		user, rest, isUser := cutText(rest, 0)
		if !ok || !isUser {
			return nil
		}
		question = rest
		state := notHere
		t := h.topics[string(topic)]
		if seat := h.seatNamed(t, string(user)); seat != 0 && h.Note != nil {
			switch a, isGuest := t.guests[h.seats.At(seat).name]; {
			case !isGuest:
				state = mine
			case a != nil:
				state = undecided
			default:
				state = guest
			}
		}
		answer = append(answer, state)
	}
	return answer
}
