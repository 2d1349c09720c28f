//go:build linux

package stream

// ext is what only some streams need, most of them for a moment. It belongs to the loop,
// is found through slot.ext, and is dropped when all of it is zero.
type ext[X any] struct {
	slot      uint32 // whose it is
	outbox    outbox // what the peer has not taken
	sealed    sealed // what TLS needs
	stalled   Clock  // since the peer last took something, by Ran
	due       uint32 // the owner's deadline, while bytes wait; 0 for none
	passes    bool   // it is read from although bytes wait; see S.Pass
	discarded int    // bytes read and thrown away while lingering
	place     place  // among those that hold memory (shed.go)
	owner     X
}

// exts are the extensions of one loop; index 0 is none.
type exts[X any] struct {
	all   []*ext[X] // nil where there is none
	free  []uint32
	spare []*ext[X]                           // the memory of some that went
	none  ext[X]                              // read only: the answer for a stream without one
	weigh func(x *X) (bytes int, isZero bool) // the owner's part
	ranks ranks
}

func (t *exts[X]) isZero(x *ext[X]) bool {
	if x.outbox.pieces != nil || x.stalled != 0 || x.due != 0 || x.discarded != 0 || !x.sealed.isZero() {
		return false
	}
	_, zero := t.weigh(&x.owner)
	return zero
}

// size is the memory x holds that Buffers counts, as if it shared nothing.
func (t *exts[X]) size(x *ext[X]) int {
	n, _ := t.weigh(&x.owner)
	return n + x.outbox.held + x.sealed.size()
}

// get returns extension k, never nil, to be read.
func (t *exts[X]) get(k uint32) *ext[X] {
	if k == 0 {
		return &t.none
	}
	return t.all[k]
}

// spareExts is how many extensions a loop keeps the memory of, 50 KiB, for the next: more are
// needed at once when very many peers are slow, which passes.
const spareExts = 256

// take returns a new extension of slot i.
func (t *exts[X]) take(i uint32) uint32 {
	if len(t.all) == 0 {
		t.all = append(t.all, &t.none)
	}
	k := uint32(len(t.all))
	if n := len(t.free); n > 0 {
		k, t.free = t.free[n-1], t.free[:n-1]
	} else {
		t.all = append(t.all, nil)
	}
	t.all[k] = t.fresh()
	t.all[k].slot = i
	return k
}

// fresh returns an extension that is zero.
func (t *exts[X]) fresh() *ext[X] {
	n := len(t.spare)
	if n == 0 {
		return new(ext[X])
	}
	x := t.spare[n-1]
	t.spare = t.spare[:n-1]
	return x
}

// put takes extension k back.
func (t *exts[X]) put(k uint32) {
	t.unrank(k)
	x := t.all[k]
	*x = ext[X]{}
	if t.all[k] = nil; len(t.spare) < spareExts {
		t.spare = append(t.spare, x)
	}
	if t.free = append(t.free, k); len(t.free) == len(t.all)-1 && len(t.free) > spareExts {
		t.all, t.free = nil, nil
	}
}
