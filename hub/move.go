//go:build linux

package hub

import "time"

// Move is who came to a topic and who went: one user, or how many there were within
// a second.
type Move struct {
	User         string // "" when moves were gathered
	Joined, Left int    // one of them is 1 when there is a User
	Count        int    // users that are there now

	// To is nil when this is for all who are in the topic. Otherwise it is for this
	// member alone, who has just joined: the others are told nothing, as the user was
	// there already, or later, as moves are gathered.
	To *Member
}

// gatherTime is how often a large topic hears of moves.
const gatherTime = time.Second

// gone tells of a user who went, if anybody is there to be told. It is called under
// order.
func (t *Topic) gone(name string, count int) {
	move := Move{User: name, Left: 1, Count: count}
	if t.hub.Moved != nil && count > 0 && !t.gather(move) {
		t.hub.Moved(t, move)
	}
}

// gather keeps a move for later if the topic is so large that moves are gathered,
// or still has some to tell of. It is called under order.
func (t *Topic) gather(m Move) bool {
	h := t.hub
	waiting := t.moves != Move{}
	if !waiting && (h.GatherAbove <= 0 || m.Count <= h.GatherAbove) {
		return false
	}
	t.moves.Joined += m.Joined
	t.moves.Left += m.Left
	if waiting {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gathered = append(h.gathered, t); len(h.gathered) == 1 {
		time.AfterFunc(gatherTime, h.tellGathered)
	}
	return true
}

// tellGathered tells the large topics of their moves.
func (h *Hub) tellGathered() {
	h.mu.Lock()
	topics := h.gathered
	h.gathered = nil
	h.mu.Unlock()
	for _, t := range topics {
		t.tellGathered()
	}
}

func (t *Topic) tellGathered() {
	t.order.Lock()
	defer t.order.Unlock()
	m := t.moves
	t.moves = Move{}
	if _, m.Count = t.sample(0); m.Count > 0 {
		t.hub.Moved(t, m)
	}
}
