//go:build linux

package stream

import (
	"math"
	"time"
)

// Deadlines are kept in ticks of the loop's clock, a shift instead of a division from
// its time. A uint32 of them lasts nine years.
const (
	tickBits = 26

	// TickLength is how long a tick lasts: 67 ms.
	TickLength = 1 << tickBits * time.Nanosecond
)

// Ticks is how many ticks it takes until d has passed for sure, counted from one that
// had begun; 0 for no time.
func Ticks(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	return uint32(min((d-1)>>tickBits+2, math.MaxUint32))
}

// Behind is the tick that comes n ticks after at; 0, for none, if n is 0.
func Behind(at, n uint32) uint32 {
	if n == 0 {
		return 0
	}
	return uint32(min(uint64(at)+uint64(n), math.MaxUint32))
}

// Clock is for how long a peer has kept us waiting: for the rest of a message, for a sign of
// life, or to take what it was sent. It runs; it is stopped while we do not read, or not do
// whatever the peer would have to do its part; and then it goes on from where it stopped.
// So time of ours is neither held against a peer nor a way to have more of it. It is a plain
// value of four bytes:
//
//	31       30                                           0
//	stopped  when it began, or for how long it has run once it is stopped
//
// Methods are given the tick that is now, always by the same count: Loop.Tick, or Loop.Ran
// where what holds up the loop is not to count either. It is good for four years at a time.
type Clock uint32

const stopped Clock = 1 << 31

// StartClock returns a clock that begins to run.
func StartClock(now uint32) Clock { return Clock(now) &^ stopped }

// Elapsed is for how many ticks it has run.
func (c Clock) Elapsed(now uint32) uint32 {
	if c&stopped == 0 {
		c = Clock(now) - c
	}
	return uint32(c &^ stopped)
}

// Stop stops it, if it runs.
func (c *Clock) Stop(now uint32) { *c = stopped | Clock(c.Elapsed(now)) }

// GoOn lets it run again, if it was stopped.
func (c *Clock) GoOn(now uint32) { *c = StartClock(now - c.Elapsed(now)) }

// Cap sets it back to n ticks if it has run for longer.
func (c *Clock) Cap(now, n uint32) {
	if c.Elapsed(now) <= n {
		return
	}
	if *c&stopped != 0 {
		*c = stopped | Clock(n)
		return
	}
	*c = StartClock(now - n)
}

// Left is how many ticks there are, one at least, until it has run for n. It is 0, for never,
// if n is 0 or while it is stopped.
func (c Clock) Left(now, n uint32) uint32 {
	if n == 0 || c&stopped != 0 {
		return 0
	}
	return max(n, c.Elapsed(now)+1) - c.Elapsed(now)
}

// clock is what a loop knows of the time of its deadlines.
type clock struct {
	tick    uint32 // read for every event
	sweepAt uint32 // the tick in which the deadlines are looked at next
	lost    uint32 // ticks in which something held the loop up
}

// Tick is the tick of the current event. It never goes back.
func (c *clock) Tick() uint32 { return c.tick }

// Ran is Tick without the time in which something held the loop up, so that it read nobody
// and sent nothing.
func (c *clock) Ran() uint32 { return c.tick - c.lost }

// Deadline is the tick by which d has passed, 0 for no time.
func (c *clock) Deadline(d time.Duration) uint32 { return Behind(c.tick, Ticks(d)) }

// advance reads the clock. A loop that is on time comes when the deadlines are to be looked
// at, if not before: beyond that it was held up.
func (c *clock) advance(now time.Duration) {
	to := uint32(now >> tickBits)
	if to <= c.tick {
		return
	}
	if on := max(c.tick, c.sweepAt); to > on+1 && c.sweepAt != 0 {
		c.lost += to - on
	}
	c.tick = to
}
