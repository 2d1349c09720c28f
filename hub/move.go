//go:build linux

package hub

import "time"

// Move is a user that came to a topic or went, or how many users did within a second.
//
// Hub.Moved is called with each move after it has happened. The goroutine that joined or left
// calls it before its Join or Leave returns, unless another one is at it in this topic just
// then, or Moved itself is what joins or leaves: then the move waits for its turn, and Join
// returns before. So Moved may call anything, and also wait for goroutines that do. What it
// asks the hub is answered as of now: later moves may have happened already, and a user that
// came may have gone. Count is as of the move. Moves that wait take memory: Moved must not
// block for long. Some moves are told on goroutines of the hub's own, where a panic ends the
// program.
//
// In a cluster the hubs with users in a topic each tell theirs of a move, by what they know: of
// a user who came to the first of them or went from the last. Both numbers are 0 if only the
// Count is new: when a topic's first user here comes, it is not known yet who is elsewhere.
type Move struct {
	User         string // "" when moves were gathered
	Joined, Left int    // one of them is 1 when there is a User
	Count        int    // users that were in the topic then
	Node         string // the other node at which it was, "" for this one, and for moves that were gathered

	// To is nil when the move is for all members of the topic. Otherwise it is for this
	// member alone, which has just joined: the others are told nothing, as the user was
	// there already, or later, as moves are gathered. For Announce it is always nil: the
	// hub sends what it returns to the members that it is for.
	To *Member
}

const (
	// gatherTime is how often a large topic hears of moves.
	gatherTime = time.Second

	// tellAtOnce is how many moves a goroutine tells of before another goes on: it may be
	// a loop, and others keep joining.
	tellAtOnce = 64
)

// announcement is what Announce says of a move.
type announcement struct {
	move   Move
	to     *Member // Move.To
	asked  bool    // Announce was
	saying saying  // its encode is nil if there is nothing to say
	alone  []byte  // what to hears
}

// isAnnounced reports whether a is ready to be announced, as what there is to say of m; if not
// it has to be made. It is called under order.
func (t *Topic) isAnnounced(a *announcement, m Move, to *Member) bool {
	if a.move != m || a.to != to {
		*a = announcement{move: m, to: to}
	}
	switch {
	case t.hub.Announce == nil:
		return true
	case !a.asked:
		return false
	case to != nil || a.saying.encode == nil:
		return true
	}
	return t.isMade(&a.saying)
}

// isReadyToGo is isAnnounced for a user that goes, when count others stay.
func (t *Topic) isReadyToGo(a *announcement, user string, count int) bool {
	return t.gathers(count) || t.isAnnounced(a, Move{User: user, Left: 1, Count: count}, nil)
}

// makeAnnouncement asks Announce and its Encoder.
func (t *Topic) makeAnnouncement(a *announcement) {
	if t.hub.Announce == nil || a.move == (Move{}) {
		return
	}
	if !a.asked {
		op, encode := t.hub.Announce(a.move)
		a.saying = saying{Message: Message{Topic: t.name, Opcode: op, encode: encode}}
		a.asked = true
	}
	switch encode := a.saying.encode; {
	case encode == nil:
	case a.to == nil:
		t.make(&a.saying)
	case a.alone == nil:
		a.alone = encode(int(a.to.dialect))
	}
}

// announce tells of a move that has just happened, and leaves it to end to have Moved called.
// It is called under order.
func (t *Topic) announce(a *announcement) {
	switch {
	case a.saying.encode == nil:
	case a.to == nil:
		t.say(&a.saying)
		t.isCountNews = false
	default:
		_ = a.to.conn.Send(a.saying.Opcode, a.alone) // fails if it is ending, or takes no more
	}
	if t.hub.Moved != nil {
		m := a.move
		m.To = a.to
		t.untold = append(t.untold, m)
	}
}

// gone tells of a user that went, if anybody is there to be told. isReadyToGo has said that a
// is ready. It is called under order.
func (t *Topic) gone(a *announcement, user string, count int) {
	switch {
	case count == 0:
	case t.gathers(count):
		t.gather(Move{User: user, Left: 1, Count: count})
	default:
		t.announce(a)
	}
}

// gathers reports whether the topic is so large that moves are gathered, or has gathered some
// and not told of them. It is called under order.
func (t *Topic) gathers(count int) bool {
	h := t.hub
	if h.Moved == nil && h.Announce == nil {
		return false
	}
	return h.GatherAbove > 0 && count > h.GatherAbove || t.gathered != Move{}
}

// gather keeps a move for later. It is called under order.
func (t *Topic) gather(m Move) {
	t.gathered.Joined += m.Joined
	t.gathered.Left += m.Left
	t.tellSoon()
}

// tellSoon has tellGathered called within gatherTime. It is called under order.
func (t *Topic) tellSoon() {
	if t.isGathering {
		return
	}
	t.isGathering = true
	h := t.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gathered = append(h.gathered, t); len(h.gathered) == 1 {
		time.AfterFunc(gatherTime, h.tellGathered)
	}
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
	var a announcement
	count := 0
	t.begin(func() bool {
		m := t.gathered
		_, count = t.sample(0)
		m.Count = count
		return !t.hasGathered(count) || t.isAnnounced(&a, m, nil)
	}, func() { t.makeAnnouncement(&a) })
	defer t.end()
	has := t.hasGathered(count)
	t.gathered, t.isCountNews, t.isGathering = Move{}, false, false
	if has {
		t.announce(&a)
	}
}

// hasGathered reports whether there is something to tell, and somebody.
func (t *Topic) hasGathered(count int) bool {
	return count > 0 && (t.isCountNews || t.gathered != Move{})
}

// tell calls Moved with what is untold. The caller has set telling.
func (t *Topic) tell() {
	over := false
	defer func() {
		if !over { // there is more, or Moved has ended this goroutine
			go t.tell()
		}
	}()
	for range tellAtOnce {
		m, more := t.nextUntold()
		if !more {
			over = true
			return
		}
		t.hub.Moved(t, m)
	}
}

// nextUntold returns the next move, or ends the telling.
func (t *Topic) nextUntold() (m Move, more bool) {
	t.order.Lock()
	defer t.order.Unlock()
	if len(t.untold) == 0 {
		t.untold, t.telling = nil, false
		return Move{}, false
	}
	m, t.untold = t.untold[0], t.untold[1:]
	return m, true
}
