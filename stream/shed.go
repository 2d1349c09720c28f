//go:build linux

package stream

import (
	"cmp"
	"slices"
)

// shed ends the streams that hold most of the loop's buffers until it is within its
// budget again.
func (l events[T, X]) shed() {
	type holder struct {
		slot uint32
		size int
	}
	var holders []holder
	for _, x := range l.exts.all {
		if x.slot == 0 {
			continue
		}
		if n := l.exts.size(x); n > 0 {
			holders = append(holders, holder{x.slot, n})
		}
	}
	slices.SortFunc(holders, func(a, b holder) int { return cmp.Compare(b.size, a.size) })
	for _, h := range holders {
		if !l.Buffers.isOver() {
			return
		}
		s := l.slab.at(h.slot)
		if l.exts.size(l.exts.get(s.ext)) == 0 {
			continue // it has ended meanwhile
		}
		l.at = h.slot
		switch s.state {
		case Free:
		case Finishing, Lingering:
			l.engine.shed.Add(1)
			l.release(h.slot, s, ErrShed)
		default:
			l.handler.Victim(l.of(h.slot, s))
		}
	}
}
