//go:build linux

package stream

import (
	"runtime"
	"time"
)

// This file decides which handshakes compute, and when. A handshake is some 300 µs of arithmetic,
// in one to three parts with the peer's answers between them. If all of a flood that could go on
// did, a loop that has given up its processor would wait for hundreds of them. So each part is a
// turn, and a loop gives as many at a time as there are processors for it. It then lets them run,
// rather than wait until Go's monitor takes the processor away from it.

// turnLasts is after what time turns make room for others that wait: those that have lasted
// so long are in a function of the tls.Config, which waits for something.
const turnLasts = 2 * time.Millisecond

// computing are the turns of a loop's handshakes.
type computing struct {
	most    int            // at a time
	now     int            // turns of this round that are not over
	round   uint32         // those of earlier rounds do not count any more
	until   time.Duration  // when the round ends, if others wait
	queue   []*negotiation // that wait for their turn
	isGiven bool           // a turn was, since the loop has last let others run
	timer   *time.Timer    // wakes the loop to end the round
}

// turnOf is how far a handshake is with its turn. It is the loop's.
type turnOf struct {
	isWaiting bool
	isGiven   bool // and the loop does not know yet that it is over
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
		c.until, c.isGiven = now+turnLasts, true
		isFirst := !h.turn.isStarted
		h.turn.isGiven, h.turn.isStarted, h.turn.round = true, true, c.round
		if isFirst {
			go h.run()
		} else {
			h.goOn()
		}
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
	if t.isGiven {
		t.isGiven = false
		t.look(true)
		runtime.Gosched()
		if t.look(false) > 0 {
			l.poll.Again()
			return
		}
	}
	if len(t.queue) > 0 {
		t.timeRound(l.poll.Wake)
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
