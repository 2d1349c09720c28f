//go:build linux

package load

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Tally is what a client did in a stretch of time, as a value: tallies of several
// clients, or of several stretches, are merged into one. What counts connections
// is counted by the Client, the rest by the player.
type Tally struct {
	// Connections.
	Dialed, Opened uint64
	Open           int // at the end of the stretch

	// Messages.
	Sent, Received    uint64
	BytesOut, BytesIn uint64
	Bodies            uint64 // refusals whose status and body arrived whole
	Other             uint64 // messages that are no answer to ours

	Faults Faults

	// Told is what the server said: the reasons of close frames, and what a player
	// wants to be known.
	Told Words

	// Latency is to an answer, Last to the last of many receivers. Late is how far
	// behind its plan a message left although nothing but this client held it back.
	Latency Histogram
	Last    Histogram
	Late    Histogram

	// The loop's own effort, without the time in which it only asked the clock
	// whether the next message was due. Busy is the share of the stretch in which
	// the busiest loop ran or waited for a processor.
	CPU  time.Duration
	Wall time.Duration
	Busy float64
}

func (t *Tally) reset() { *t = Tally{Faults: make(Faults), Told: make(Words)} }

// Merge adds o, a tally of another client over the same stretch.
func (t *Tally) Merge(o *Tally) { t.merge(o, max(t.Wall, o.Wall), t.Open+o.Open) }

// Append adds o, the tally of the stretch after t's.
func (t *Tally) Append(o *Tally) { t.merge(o, t.Wall+o.Wall, o.Open) }

func (t *Tally) merge(o *Tally, wall time.Duration, open int) {
	if t.Faults == nil {
		t.Faults = make(Faults)
	}
	if t.Told == nil {
		t.Told = make(Words)
	}
	t.Dialed += o.Dialed
	t.Opened += o.Opened
	t.Sent += o.Sent
	t.Received += o.Received
	t.BytesOut += o.BytesOut
	t.BytesIn += o.BytesIn
	t.Bodies += o.Bodies
	t.Other += o.Other
	t.Faults.Merge(o.Faults)
	t.Told.Merge(o.Told)
	t.Latency.Merge(o.Latency)
	t.Last.Merge(o.Last)
	t.Late.Merge(o.Late)
	t.CPU += o.CPU
	t.Busy = max(t.Busy, o.Busy)
	t.Wall, t.Open = wall, open
}

// Take returns the account since the last Take and begins a new one. Only on the
// loop, which means within Do.
func (c *Client) Take() Tally {
	t := c.tally
	cpu := readCPU()
	t.Open = c.opened
	t.BytesOut, c.begun = c.loop.Sent()-c.begun, c.loop.Sent()
	t.CPU, t.Wall = max(cpu.ran-c.cpu.ran-c.spun, 0), cpu.at.Sub(c.cpu.at)
	if t.Wall > 0 {
		t.Busy = float64(t.CPU+cpu.waited-c.cpu.waited) / float64(t.Wall)
	}
	c.cpu, c.spun = cpu, 0
	c.tally.reset()
	return t
}

// cpuClock is a reading of what the calling thread has used.
type cpuClock struct {
	at     time.Time
	ran    time.Duration
	waited time.Duration // for a processor; 0 where the kernel does not tell
}

func readCPU() cpuClock {
	clock := cpuClock{at: time.Now()}
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err == nil {
		clock.ran = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	// The second field of schedstat; see Documentation/scheduler/sched-stats.rst.
	b, err := os.ReadFile("/proc/thread-self/schedstat")
	if err != nil {
		return clock
	}
	if fields := bytes.Fields(b); len(fields) == 3 {
		ns, _ := strconv.ParseInt(string(fields[1]), 10, 64)
		clock.waited = time.Duration(ns)
	}
	return clock
}
