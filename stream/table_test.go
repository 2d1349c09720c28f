//go:build linux

package stream

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// The table of slots gives no slot away twice, whatever the order, and what was in one is
// gone from it when it is used again.
func TestSlab(t *testing.T) {
	var tab slab[mark]
	tab.init()
	rng := rand.New(rand.NewPCG(1, 2))
	live := map[uint32]uint64{} // slots and their tokens
	var ended []uint64
	for range 30_000 {
		if rng.IntN(5) < 3 || len(live) == 0 {
			i, s := tab.take()
			if _, ok := live[i]; ok || i == 0 {
				t.Fatalf("slot %d was given away twice", i)
			}
			if s.state != Free || s.flags != 0 || s.why != 0 || s.ext != 0 || s.listener != 0 || s.data != (mark{}) || *tab.due(i) != 0 || s.gen.Load()&Marks != 0 {
				t.Fatalf("slot %d is not empty: %+v", i, s)
			}
			s.state, s.flags, s.why, s.ext, s.listener, s.data = Flowing, armedRead, Custom, 7, 3, mark{9}
			*tab.due(i) = 5
			live[i] = token(i, s.gen.Load())
			s.gen.Or(Marks)
			continue
		}
		for i, tok := range live { // any
			if at, s := tab.find(tok); s == nil || at != i {
				t.Fatalf("slot %d is not found", i)
			}
			tab.put(i)
			delete(live, i)
			ended = append(ended, tok)
			break
		}
	}
	for _, tok := range ended {
		if _, s := tab.find(tok); s != nil {
			t.Fatalf("token %x is found after its end", tok)
		}
	}
	if got := int(tab.next) - 1 - tab.resting(); got != len(live) {
		t.Errorf("%d slots are taken, want %d", got, len(live))
	}
}

// A generation comes round without touching the marks, to the first.
func TestGenerationsComeRound(t *testing.T) {
	var tab slab[mark]
	tab.init()
	i, s := tab.take()
	first := s.gen.Load()
	s.gen.Store(genBits | 3<<MarkShift)
	tab.put(i)
	if got := s.gen.Load(); got != first {
		t.Errorf("behind the last generation: %x, want %x", got, first)
	}
}

// Slots are used again in the order in which they became free, and only when others rest: a
// generation comes round as late as it can, however few streams there are at a time.
func TestSlotsRest(t *testing.T) {
	for _, live := range []int{1, 7, 3000} {
		var tab slab[mark]
		tab.init()
		var taken []uint32
		freed := map[uint32]int{} // when a slot became free last
		for n := range 50_000 {
			i, _ := tab.take()
			if at, was := freed[i]; was && n-at < restSlots {
				t.Fatalf("%d at a time: slot %d was used again after %d others", live, i, n-at)
			}
			if taken = append(taken, i); len(taken) == live {
				freed[taken[0]] = n
				tab.put(taken[0])
				taken = taken[1:]
			}
		}
		if most := uint32(live + restSlots); tab.next-1 > most || cap(tab.free) > 4*int(most) {
			t.Errorf("%d at a time: %d slots were made, want %d; the list of those that are free has %d places", live, tab.next-1, most, cap(tab.free))
		}
	}
}

// A million streams cost the heap 20 bytes each and what their owner keeps, and freeing
// half of them and seating others no more.
func TestMillion(t *testing.T) {
	const million = 1_000_000
	heap := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := heap()
	var tab slab[[10]uint32]
	tab.init()
	seat := func(n int) {
		for range n {
			_, s := tab.take()
			s.state = Flowing
		}
	}
	seat(million)
	const want = 16 + 4 + 40
	if each := float64(heap()-before) / million; each > want+1 {
		t.Errorf("a stream costs %.1f bytes of heap, want at most %d", each, want+1)
	}
	for i := uint32(1); i <= million; i += 2 {
		tab.put(i)
	}
	seat(million / 2)
	// The list of free slots has grown: 4 bytes for each that was.
	if each := float64(heap()-before) / million; each > want+5 {
		t.Errorf("a stream costs %.1f bytes of heap after a change of half of them, want at most %d", each, want+5)
	}
	if tab.next != million+restSlots+1 {
		t.Errorf("%d slots were made", tab.next-1)
	}
	runtime.KeepAlive(&tab)
}

func TestBuffers(t *testing.T) {
	var p Buffers
	rng := rand.New(rand.NewPCG(7, 8))
	var lent [][]byte
	sum := 0
	for range 10_000 {
		if rng.IntN(2) == 0 || len(lent) == 0 {
			n := rng.IntN(1 << (1 + rng.IntN(18)))
			b := p.Get(n)
			if len(b) != 0 || cap(b) < n {
				t.Fatalf("Get(%d): len %d, cap %d", n, len(b), cap(b))
			}
			lent = append(lent, b)
			sum += cap(b)
		} else {
			at := rng.IntN(len(lent))
			b := lent[at]
			lent = slices.Delete(lent, at, at+1)
			sum -= cap(b)
			if rng.IntN(2) == 0 {
				b = b[:cap(b)/2]
			}
			if rng.IntN(8) == 0 {
				p.Forget(cap(b)) // somebody else has it
			} else {
				p.Put(b)
			}
		}
		if p.InUse() != sum {
			t.Fatalf("in use: %d, want %d", p.InUse(), sum)
		}
		if p.kept > keepBytes {
			t.Fatalf("%d bytes are kept, more than %d", p.kept, keepBytes)
		}
	}
}

func TestAppendKeepsWhatThereIs(t *testing.T) {
	var p Buffers
	var b, want []byte
	for k := range 2000 {
		piece := []byte{byte(k), byte(k >> 8), 3}
		b = p.Append(b, piece)
		want = append(want, piece...)
	}
	if !slices.Equal(b, want) {
		t.Error("bytes were lost in growing")
	}
	p.Put(b)
	if p.InUse() != 0 {
		t.Errorf("%d bytes are still lent", p.InUse())
	}
}
