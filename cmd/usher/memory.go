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
// budget full that would be twice the budget, and long after it was. And what came with many
// connections is garbage as soon as they are seated, but stays until as much has come again.

// memory is what it has to know of a server.
type memory struct {
	budget   int                    // --max-buffered, in bytes
	buffered func() (now, most int) // bytes that are held, and the most since the last call
	sockets  func() int

	isLimited bool // GOMEMLIMIT is the operator's
	highest   int  // what was held, since memory was last given back
	crowd     int  // how many sockets there were then
	last      int  // how many there were at the last look
	rest      int  // looks until it may be given back again
}

const (
	memoryEvery = time.Second

	// restAfter is how many looks lie between two times that memory is given back, which
	// is a collection.
	restAfter = 4

	// fewSockets is how many may come or go without a collection: their garbage is nothing.
	fewSockets = 1000

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
// system when there is much.
func (m *memory) look() {
	if !m.isLimited {
		debug.SetMemoryLimit(m.limit(alive()))
	}
	if m.isDue() {
		debug.FreeOSMemory()
	}
}

// isDue reports whether memory is to be given back: because much less is held than was, or as
// a crowd has come or gone and the next does not follow. A crowd is a quarter of those that
// are there: from one thousand to a million there are thirty.
func (m *memory) isDue() bool {
	now, most := m.buffered()
	sockets := m.sockets()
	m.highest = max(m.highest, most)
	isQuiet := abs(sockets-m.last) <= sockets/100
	m.last = sockets
	if m.rest > 0 {
		m.rest--
		return false
	}
	isCrowd := isQuiet && abs(sockets-m.crowd) > max(m.crowd/4, fewSockets)
	if !isCrowd && m.highest-now <= max(m.budget/16, 4<<20) {
		return false
	}
	m.highest, m.crowd, m.rest = now, sockets, restAfter
	return true
}

func abs(n int) int { return max(n, -n) }

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
