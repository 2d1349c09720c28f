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

// clock is what a loop knows of the time of its deadlines.
type clock struct {
	tick    uint32 // read for every event
	sweepAt uint32 // the tick in which the deadlines are looked at next
}

// Tick is the tick of the current event. It never goes back.
func (c *clock) Tick() uint32 { return c.tick }

// Deadline is the tick by which d has passed, 0 for no time.
func (c *clock) Deadline(d time.Duration) uint32 { return Behind(c.tick, Ticks(d)) }

// advance reads the clock.
func (c *clock) advance(now time.Duration) {
	if now := uint32(now >> tickBits); now > c.tick {
		c.tick = now
	}
}
