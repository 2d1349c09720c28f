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
// connections, 60 KB with each handshake of TLS, is garbage as soon as they are seated, but stays
// until as much has come again.

// memory is what it has to know of a server.
type memory struct {
	budget   int                    // --max-buffered, in bytes
	buffered func() (now, most int) // bytes that are held, and the most since the last call
	sockets  func() int

	isLimited bool // GOMEMLIMIT is the operator's
	highest   int  // what was held, since memory was last given back
	left      int  // the garbage that was not taken then
	allocated int  // what was allocated until the last look, since the process began
	rest      int  // looks until it may be given back again for what was held
}

const (
	memoryEvery = time.Second

	// restAfter is how many looks later memory is given back again, which is a collection, if
	// what is held goes up and down.
	restAfter = 5

	// littleGarbage is never worth a collection.
	littleGarbage = 512 << 10

	// quietFor is how many looks it must take, at the present rate, until as much has come again:
	// pings of 10,000 connections over TLS are a megabyte of expanded keys a second.
	quietFor = 2

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
	h := readHeap()
	if !m.isLimited {
		debug.SetMemoryLimit(m.limit(h.alive))
	}
	if m.isDue(h) {
		debug.FreeOSMemory()
		m.left = readHeap().garbage
	}
}

// isDue reports whether memory is to be given back: because much less is held than was, or as
// there is much garbage and hardly any more comes, so that it will not be much again soon.
func (m *memory) isDue(h heap) bool {
	now, most := m.buffered()
	m.highest = max(m.highest, most)
	since := h.allocated - m.allocated
	m.allocated, m.rest = h.allocated, max(m.rest-1, 0)
	isLeft := h.garbage-m.left > max(h.alive/4, littleGarbage) && since*quietFor <= h.garbage
	isFreed := m.rest == 0 && m.highest-now > max(m.budget/16, 4<<20)
	if !isLeft && !isFreed {
		return false
	}
	m.highest, m.rest = now, restAfter
	return true
}

// limit is two fifths more than the budget, with what else a server of its size needs. A heap
// that is full of live objects gets room beside them, or it would be collected without end.
func (m *memory) limit(alive int) int64 {
	usual := m.budget + m.budget*2/5 + memoryOfItself + memoryOfOne*m.sockets()
	return int64(max(usual, alive+alive/4+memoryOfItself))
}

// heap is what Go's heap has, in bytes.
type heap struct {
	alive     int // in use when it was last collected
	garbage   int // at most: what was allocated since then, and what is free and not given back
	allocated int // since the process began
}

// readHeap reads what the runtime knows of it, without a collection.
func readHeap() heap {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/heap/allocs:bytes"},
	}
	metrics.Read(samples)
	value := func(k int) int {
		if samples[k].Value.Kind() != metrics.KindUint64 {
			return 0
		}
		return int(samples[k].Value.Uint64())
	}
	alive := value(0)
	return heap{alive, max(value(1)-alive, 0) + value(2), value(3)}
}
