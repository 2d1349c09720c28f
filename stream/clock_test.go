//go:build linux

package stream

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// TestClock holds a Clock against one that adds up what it ran, over whatever is done to it and
// wherever the ticks are.
func TestClock(t *testing.T) {
	for _, from := range []uint32{0, 1, 1000, 1<<31 - 50, 1<<31 + 7, math.MaxUint32 - 50} {
		r := rand.New(rand.NewPCG(1, uint64(from)))
		now := from
		c, ran, runs := StartClock(now), uint32(0), true
		for step := range 2000 {
			switch r.IntN(6) {
			case 0:
				c.Stop(now)
				runs = false
			case 1:
				c.GoOn(now)
				runs = true
			case 2:
				n := uint32(r.IntN(400))
				c.Cap(now, n)
				ran = min(ran, n)
			case 3:
				if step%20 == 0 {
					c, ran, runs = StartClock(now), 0, true
				}
			default:
				d := uint32(r.IntN(20))
				if now += d; runs {
					ran += d
				}
			}
			if got := c.Elapsed(now); got != ran {
				t.Fatalf("from tick %d, step %d: %d ticks have passed, want %d", from, step, got, ran)
			}
			limit := uint32(r.IntN(500))
			want := max(int(limit)-int(ran), 1)
			if limit == 0 || !runs {
				want = 0
			}
			if got := c.Left(now, limit); got != uint32(want) {
				t.Fatalf("from tick %d, step %d: %d are left of %d, want %d", from, step, got, limit, want)
			}
		}
	}
}

// TestLeftOfClock: a limit that is none, and one that is farther than a Clock can count.
func TestLeftOfClock(t *testing.T) {
	c := StartClock(10)
	if got := c.Left(math.MaxUint32, 0); got != 0 {
		t.Errorf("of no limit %d are left, want none", got)
	}
	if got := c.Left(20, math.MaxUint32); got != math.MaxUint32-10 {
		t.Errorf("of the longest limit %d are left", got)
	}
}

// TestRan: what a loop is held up for is left out, from when the deadlines were to be looked
// at; what it sleeps is not.
func TestRan(t *testing.T) {
	var c clock
	for _, step := range []struct{ sweepAt, now, ran uint32 }{
		{20, 20, 20},   // it has slept until its look
		{35, 36, 36},   // a tick is nobody's fault
		{51, 40, 40},   // an event
		{51, 151, 51},  // it was held up
		{51, 152, 52},  // the look is still to come: that counts once
		{51, 252, 52},  // held up again
		{267, 200, 52}, // it never goes back
		{267, 267, 67},
	} {
		c.sweepAt = step.sweepAt
		if c.advance(time.Duration(step.now) << tickBits); c.Ran() != step.ran {
			t.Errorf("in tick %d, to look in tick %d: it has run for %d ticks, want %d", step.now, step.sweepAt, c.Ran(), step.ran)
		}
	}
}
