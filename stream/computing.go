//go:build linux

package stream

import (
	"runtime"
	"time"
)

// This file is who computes when. A handshake is some 300 µs of arithmetic, in one to three parts
// with the peer's answers between them. If all that could go on did, hundreds in a flood, a loop
// that has given up its processor would wait for them. So each part is a turn, of which a loop
// gives as many at a time as there are processors for it; and it lets them have the processor
// itself, rather than wait until Go's monitor takes it away.

// turnLasts is after what time a turn makes room for another that waits: it is in a function of
// the tls.Config, which may wait for somebody.
const turnLasts = time.Millisecond

// computing are the turns of a loop's handshakes.
type computing struct {
	most    int            // at a time
	now     int            // turns that were given in this round
	round   uint32         // all turns of earlier ones make room
	until   time.Duration  // when this one is over, if others wait
	queue   []*negotiation // that wait for their turn
	hasMore bool           // turns were given since the loop has last let others run
	timer   *time.Timer    // wakes the loop to end the round
}

// turnOf is how far a handshake is with its turn.
type turnOf struct {
	isWaiting bool
	isGiven   bool // and the loop has not heard yet that it is over
	isStarted bool // there is a goroutine
	isOver    bool // there was
	round     uint32
}

// takeTurn lets h compute, as soon as there is room. It comes when h has heard something.
func (l *Loop[T, X]) takeTurn(h *negotiation) {
	if h.turn.isWaiting || h.turn.isGiven || h.turn.isOver {
		return
	}
	h.turn.isWaiting = true
	c := &l.secure.computing
	c.queue = append(c.queue, h)
	l.giveTurns()
}

// endTurn is called when h waits for its peer or is over. It may have heard more meanwhile.
func (l *Loop[T, X]) endTurn(h *negotiation, hearsMore bool) {
	c := &l.secure.computing
	if h.turn.isGiven && h.turn.round == c.round {
		c.now--
	}
	if h.turn.isGiven = false; hearsMore {
		l.takeTurn(h)
	}
}

// giveTurns gives the turns that there are to those that wait.
func (l *Loop[T, X]) giveTurns() {
	c := &l.secure.computing
	now := l.poll.Now()
	if c.now >= c.most && now >= c.until {
		c.now = 0
		c.round++
	}
	for len(c.queue) > 0 && c.now < c.most {
		h := c.queue[0]
		if c.queue = c.queue[1:]; len(c.queue) == 0 {
			c.queue = nil
		}
		if h.turn.isWaiting = false; h.gone != nil {
			if !h.turn.isStarted {
				l.secure.goroutines--
			}
			continue
		}
		c.now++
		c.until, c.hasMore = now+turnLasts, true
		isFirst := !h.turn.isStarted
		h.turn.isGiven, h.turn.isStarted, h.turn.round = true, true, c.round
		if isFirst {
			go h.run()
		} else {
			h.goOn()
		}
	}
	if len(c.queue) > 0 {
		l.secure.timeRound(l.poll.Wake)
	}
}

// timeRound has the loop look when the round is over.
func (t *securing) timeRound(wake func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.isTimed:
	case t.timer == nil:
		t.timer = time.AfterFunc(turnLasts, func() {
			t.mu.Lock()
			t.isTimed = false
			t.mu.Unlock()
			wake()
		})
	default:
		t.timer.Reset(turnLasts)
	}
	t.isTimed = true
}

// letCompute lets those run that have a turn, at the end of a pass.
func (l events[T, X]) letCompute() {
	t := &l.secure.securing
	if !t.hasMore {
		return
	}
	t.hasMore = false
	t.look(true)
	runtime.Gosched()
	if t.look(false) > 0 {
		l.poll.Again()
	}
}

// look says whether the loop looks by itself for those that have something for it, and returns
// how many there are.
func (t *securing) look(isLooking bool) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.isLooking = isLooking
	return len(t.told)
}
