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
// budget full that would be twice the budget, and long after it was; and a crowd that has come
// and is quiet would keep the garbage of its handshakes beside it, as much as itself.

// memory is what it has to know of a server.
type memory struct {
	budget   int                    // --max-buffered, in bytes
	buffered func() (now, most int) // bytes that are held, and the most since the last call
	sockets  func() int

	isLimited bool // GOMEMLIMIT is the operator's
	highest   int  // what was held, since memory was last given back
	rest      int  // looks until it may be given back again
	last      heap // at the last look
}

const (
	memoryEvery = time.Second / 4

	// restAfter is how many looks lie between two times that memory is given back, which
	// is a collection, because less is held.
	restAfter = 16

	// calmGrowth is by how much the heap grows between two looks if next to nothing happens.
	calmGrowth = 16 << 10

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
// system when much less is held than was, or nothing happens and much is garbage.
func (m *memory) look() {
	h := readHeap()
	if !m.isLimited {
		debug.SetMemoryLimit(m.limit(h.alive))
	}
	now, most := m.buffered()
	m.highest = max(m.highest, most)
	isCalm := h.isCalm(m.last)
	m.last = h
	m.rest = max(m.rest-1, 0)
	if m.rest == 0 && m.highest-now > max(m.budget/16, 4<<20) || isCalm && h.idle() > max(h.alive/8, 256<<10) {
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

// heap is what the runtime says of its memory, in bytes.
type heap struct {
	alive   int // when it was last collected
	objects int // what is alive and what is garbage
	free    int // kept for what comes
	cycles  int // how often it was collected
}

// isCalm reports whether next to nothing was allocated since before.
func (h heap) isCalm(before heap) bool {
	return h.cycles == before.cycles && h.objects-before.objects < calmGrowth
}

// idle is about what a collection could give back.
func (h heap) idle() int { return h.objects - h.alive + h.free }

func readHeap() (h heap) {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"}, {Name: "/gc/cycles/total:gc-cycles"},
	}
	metrics.Read(samples)
	for k, to := range []*int{&h.alive, &h.objects, &h.free, &h.cycles} {
		if samples[k].Value.Kind() == metrics.KindUint64 {
			*to = int(samples[k].Value.Uint64())
		}
	}
	return h
}
