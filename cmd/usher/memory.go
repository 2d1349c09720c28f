//go:build linux

package main

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// This file keeps the memory of the process near what --max-buffered says. A heap may grow
// to twice what is alive before it is collected, and keeps what it had for minutes: with the
// budget full that would be twice the budget, and long after it was.

// memory is what it has to know of a server.
type memory struct {
	budget   int                    // --max-buffered, in bytes
	buffered func() (now, most int) // bytes that are held, and the most since the last call
	sockets  func() int

	isLimited bool // GOMEMLIMIT is the operator's
	highest   int  // what was held, since memory was last given back
	rest      int  // looks until it may be given back again
}

const (
	memoryEvery = time.Second

	// restAfter is how many looks lie between two times that memory is given back, which
	// is a collection.
	restAfter = 4

	// What a process is granted beside the budget: for itself, and for each connection.
	memoryOfItself, memoryOfOne = 16 << 20, 2 << 10
)

// keep looks at the memory until done is closed. It does nothing without a budget.
func (m *memory) keep(done <-chan struct{}) {
	if m.budget <= 0 {
		return
	}
	_, m.isLimited = os.LookupEnv("GOMEMLIMIT")
	tick := time.NewTicker(memoryEvery)
	defer tick.Stop()
	for {
		m.look()
		select {
		case <-done:
			return
		case <-tick.C:
		}
	}
}

// look sets the limit from which on garbage is collected at once, and gives memory back to the
// system when much less is held than was.
func (m *memory) look() {
	if !m.isLimited {
		debug.SetMemoryLimit(m.limit(alive()))
	}
	now, most := m.buffered()
	m.highest = max(m.highest, most)
	if m.rest > 0 {
		m.rest--
		return
	}
	if m.highest-now > max(m.budget/16, 4<<20) {
		debug.FreeOSMemory()
		m.highest, m.rest = now, restAfter
	}
}

// limit is two fifths more than the budget, with what else a server of its size needs. A heap
// that is full of live objects gets room beside them, or it would be collected without end.
func (m *memory) limit(alive int) int64 {
	usual := m.budget + m.budget*2/5 + memoryOfItself + memoryOfOne*m.sockets()
	return int64(max(usual, alive+alive/4+memoryOfItself))
}

// alive is how many bytes were in use when the heap was last collected.
func alive() int {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return int(sample[0].Value.Uint64())
}
