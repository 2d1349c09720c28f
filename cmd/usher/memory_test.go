//go:build linux

package main

import (
	"runtime"
	"runtime/debug"
	"testing"
)

// TestCrowdsGarbage: memory is given back once when a crowd has come or gone and it is quiet,
// and not while others follow, or for a few.
func TestCrowdsGarbage(t *testing.T) {
	m := &memory{budget: 256 << 20, buffered: func() (int, int) { return 0, 0 }}
	allocated := 0
	for k, c := range []struct {
		alive, garbage int
		since          int // was allocated since the last look
		isDue          bool
	}{
		{1 << 20, 1 << 20, 1 << 20, false}, {1 << 20, 500 << 10, 1000, false}, // a few
		{2 << 20, 8 << 20, 60 << 20, false}, {2 << 20, 6 << 20, 4 << 20, false}, // it comes
		{2 << 20, 7 << 20, 500 << 10, true}, {2 << 20, 1000, 1000, false}, // and has come
		{2 << 20, 1 << 20, 1 << 20, false}, {2 << 20, 2 << 20, 1 << 20, true}, {2 << 20, 1 << 20, 1 << 20, false}, // some come, or are pinged
		{200 << 20, 40 << 20, 0, false},        // little beside what is alive
		{200 << 20, 60 << 20, 40 << 20, false}, // it will be garbage again
		{2 << 20, 250 << 20, 8 << 20, true},    // all have gone
		{2 << 20, 600 << 10, 0, true},
	} {
		allocated += c.since
		if m.isDue(heap{c.alive, c.garbage, allocated}) != c.isDue {
			t.Errorf("look %d, of %+v: due %v", k, c, !c.isDue)
		}
	}
	m.left = 500 << 10
	if m.isDue(heap{2 << 20, 600 << 10, allocated}) {
		t.Error("due for what was not taken the last time")
	}
}

// What is held goes up and down; memory is given back for that, but not at each look.
func TestHeldGarbage(t *testing.T) {
	now, most := 0, 0
	m := &memory{budget: 256 << 20, buffered: func() (int, int) { return now, most }}
	for k, c := range []struct {
		now, most int
		isDue     bool
	}{
		{10 << 20, 10 << 20, false}, {1 << 20, 10 << 20, false}, // little
		{0, 64 << 20, true}, {0, 0, false}, {0, 64 << 20, false}, {0, 0, false}, {0, 0, false}, {0, 0, true}, {0, 0, false},
	} {
		if now, most = c.now, c.most; m.isDue(heap{}) != c.isDue {
			t.Errorf("look %d, of %+v: due %v", k, c, !c.isDue)
		}
	}
}

// What was freed is garbage until it is given back.
func TestReadHeap(t *testing.T) {
	before := readHeap()
	b := make([]byte, 64<<20)
	h := readHeap()
	if h.allocated < before.allocated+len(b) || h.garbage+h.alive < len(b) {
		t.Errorf("got %+v after %+v and %d bytes more", h, before, len(b))
	}
	runtime.KeepAlive(b)
	debug.FreeOSMemory()
	if h := readHeap(); h.alive+h.garbage >= len(b) {
		t.Errorf("given back: got %+v", h)
	}
}
