//go:build linux

package server

import "slices"

// shard is a group's members on one loop: their slots, four bytes each, sorted so
// that a walk goes through memory in order. A member that leaves is only marked;
// the marks are swept when they are many.
type shard struct {
	index  uint32   // in loop.groups; 0 while there is no member
	sorted []uint32 // may carry marks
	fresh  []uint32 // joined since the last walk, not sorted
	left   int      // marks in sorted
	walk   *walk    // that is under way; nil: there is none
}

// hasLeft marks a slot in sorted that has left.
const hasLeft = 1 << 31

func (h *shard) add(i uint32) { h.fresh = append(h.fresh, i) }

// remove takes member i out.
func (h *shard) remove(i uint32) {
	if at, found := h.find(i); found {
		h.sorted[at] |= hasLeft
		h.left++
		return
	}
	if at := slices.Index(h.fresh, i); at >= 0 {
		h.fresh = slices.Delete(h.fresh, at, at+1)
	}
}

func (h *shard) find(i uint32) (int, bool) {
	at, found := slices.BinarySearchFunc(h.sorted, i, func(a, b uint32) int {
		return int(int64(a&^hasLeft) - int64(b))
	})
	return at, found && h.sorted[at]&hasLeft == 0
}

// tidy sorts in the members that joined, and sweeps the marks if they are many. It is called
// before a walk, never during one.
func (h *shard) tidy() {
	if len(h.fresh) == 0 && h.left <= len(h.sorted)/2 {
		return
	}
	all := slices.DeleteFunc(h.sorted, func(i uint32) bool { return i&hasLeft != 0 })
	all = append(all, h.fresh...)
	slices.Sort(all)
	h.sorted, h.fresh, h.left = all, h.fresh[:0], 0
	if cap(all) > 4*len(all)+64 {
		h.sorted = slices.Clone(all)
	}
}

func (h *shard) size() int { return len(h.sorted) - h.left + len(h.fresh) }
