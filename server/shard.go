//go:build linux

package server

import (
	"cmp"
	"slices"
)

// shard is a group's members on one loop: their slots, four bytes each, sorted so
// that a walk goes through memory in order. A member that leaves is only marked;
// the marks are swept when they are many.
type shard struct {
	index  uint32   // in loop.groups; 0 while there is no member
	size   int      // how many members there are
	sorted []uint32 // may carry marks
	left   int      // marks in sorted
	recent []uint32 // joined since sorted was made, or left if marked, in that order
	walk   *walk    // that is under way; nil: there is none
}

const (
	hasLeft   = 1 << 31 // marks a slot that has left
	fewRecent = 64      // so many are not worth sorting
)

// add makes i a member, which it is not.
func (h *shard) add(i uint32) {
	h.size++
	h.note(i)
}

// remove takes member i out.
func (h *shard) remove(i uint32) {
	h.size--
	if at, found := h.find(i); found {
		h.sorted[at] |= hasLeft
		h.left++
		return
	}
	h.note(i | hasLeft)
}

// note adds to recent, and sees that it stays small beside sorted, with or without walks.
func (h *shard) note(i uint32) {
	if h.recent = append(h.recent, i); len(h.recent) > fewRecent+len(h.sorted)/4 && h.walk == nil {
		h.tidy()
	}
}

func (h *shard) find(i uint32) (int, bool) {
	at, found := slices.BinarySearchFunc(h.sorted, i, bySlot)
	return at, found && h.sorted[at]&hasLeft == 0
}

func bySlot(a, b uint32) int { return cmp.Compare(a&^hasLeft, b&^hasLeft) }

// tidy sorts in the members that joined, and sweeps the marks if they are many. It is called
// before a walk, never during one.
func (h *shard) tidy() {
	if len(h.recent) == 0 && h.left <= len(h.sorted)/2 {
		return
	}
	all := slices.DeleteFunc(h.sorted, isMarked)
	all = merge(all, h.joined())
	if cap(all) > 4*len(all)+64 {
		all = slices.Clone(all)
	}
	h.sorted, h.left = all, 0
	if h.recent = h.recent[:0]; cap(h.recent) > fewRecent {
		h.recent = nil
	}
}

func isMarked(i uint32) bool { return i&hasLeft != 0 }

// joined returns those of recent that are members, sorted. It uses recent's memory.
func (h *shard) joined() []uint32 {
	slices.SortStableFunc(h.recent, bySlot)
	in := h.recent[:0]
	for k, i := range h.recent {
		isLast := k+1 == len(h.recent) || bySlot(i, h.recent[k+1]) != 0
		if isLast && !isMarked(i) {
			in = append(in, i)
		}
	}
	return in
}

// merge returns the values of a and b, both sorted, in a's memory if it suffices.
func merge(a, b []uint32) []uint32 {
	k, n := len(a)-1, len(a)+len(b)
	a = slices.Grow(a, len(b))[:n]
	for n--; len(b) > 0; n-- {
		if last := len(b) - 1; k < 0 || a[k] < b[last] {
			a[n], b = b[last], b[:last]
		} else {
			a[n] = a[k]
			k--
		}
	}
	return a
}
