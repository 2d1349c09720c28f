//go:build linux

package stream

import (
	"math/bits"
	"sync/atomic"
)

// Buffers lends the memory of whatever straddles an event: half messages, outboxes, and
// counts what is kept for many streams at once.
// Sizes are powers of two; each loop has its own pool and its share of the process's
// budget. It belongs to the loop's goroutine. It is a frame.Buffers.
type Buffers struct {
	inUse  int // bytes lent at this moment
	budget int // the most that may stay lent after an event; <= 0 is no limit
	kept   int // bytes waiting in free

	told, most atomic.Int64 // inUse at the end of the last pass, and the most since Loop.Lent
	free       [classes][][]byte
}

const (
	minClass  = 9  // 512 bytes
	maxClass  = 16 // 64 KiB; larger ones are left to the garbage collector
	classes   = maxClass - minClass + 1
	keepBytes = 4 << 20 // the most a loop keeps for reuse
)

func classOf(n int) int { return max(bits.Len(uint(max(n, 1)-1)), minClass) - minClass }

// Get lends a buffer of length 0 and at least n bytes of capacity.
func (p *Buffers) Get(n int) []byte {
	c := classOf(n)
	if c >= classes {
		b := make([]byte, 0, n)
		p.inUse += cap(b)
		return b
	}
	size := 1 << (c + minClass)
	p.inUse += size
	if k := len(p.free[c]); k > 0 {
		b := p.free[c][k-1]
		p.free[c] = p.free[c][:k-1]
		p.kept -= size
		return b
	}
	return make([]byte, 0, size)
}

// Put takes back a buffer that Get lent.
func (p *Buffers) Put(b []byte) {
	if cap(b) == 0 {
		return
	}
	p.inUse -= cap(b)
	c := classOf(cap(b))
	if c >= classes || p.kept+cap(b) > keepBytes {
		return
	}
	p.kept += cap(b)
	p.free[c] = append(p.free[c], b[:0])
}

// Append appends more to b, which Get lent or which is nil, moving it to a larger
// buffer when it must.
func (p *Buffers) Append(b, more []byte) []byte {
	if len(b)+len(more) > cap(b) {
		larger := append(p.Get(max(len(b)+len(more), 2*cap(b))), b...)
		p.Put(b)
		b = larger
	}
	return append(b, more...)
}

// Charge counts n bytes that others hold for a stream, until Forget.
func (p *Buffers) Charge(n int) { p.inUse += n }

// Forget counts n bytes no more: what was charged, or a buffer that will not come back as it is
// another's for good.
func (p *Buffers) Forget(n int) { p.inUse -= n }

// InUse returns how many bytes are lent, or counted as if they were.
func (p *Buffers) InUse() int { return p.inUse }

// tell lets other goroutines know how much is lent.
func (p *Buffers) tell() {
	if n := int64(p.inUse); n != p.told.Load() {
		p.told.Store(n)
		if n > p.most.Load() {
			p.most.Store(n)
		}
	}
}

func (p *Buffers) isOver() bool { return p.budget > 0 && p.inUse > p.budget }
