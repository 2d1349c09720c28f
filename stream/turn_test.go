//go:build linux

package stream

import (
	"slices"
	"testing"

	"github.com/usher-ws/usher/poller"
)

// A stream that has had its share goes on when the pass is over, in its turn; and the
// others had theirs meanwhile.
func TestTurns(t *testing.T) {
	r := newRig(t, roomy())
	var got []uint32
	left := map[uint32]int{}
	r.o.input = func(s link, _ []byte, _ bool) {
		left[s.Slot()] = 3
		s.Yield()
		s.Yield() // once is enough
	}
	r.o.resume = func(s link) {
		got = append(got, s.Slot())
		if left[s.Slot()]--; left[s.Slot()] > 0 {
			s.Yield()
		}
	}
	var all []link
	var want []uint32
	for range 4 {
		s, peer := r.adopt()
		all, want = append(all, s), append(want, s.Slot())
		r.send(peer, "x")
	}
	for _, s := range all {
		r.d.Ready(s, poller.Readable)
		if s.State() != Held || s.Why() != Turn {
			t.Errorf("slot %d waits for its turn: it is %v, why %b", s.Slot(), s.State(), s.Why())
		}
	}
	if r.d.Wake(); len(got) > 0 {
		t.Errorf("%v went on in the same pass", got)
	}
	for range 3 {
		r.d.After()
		got = nil
		if r.d.Wake(); !slices.Equal(got, want) {
			t.Errorf("went on: %v, want %v", got, want)
		}
	}
	r.d.After()
	got = nil
	if r.d.Wake(); got != nil {
		t.Errorf("%v went on once more", got)
	}
	for _, s := range all {
		if s.State() != Flowing {
			t.Errorf("slot %d has had its turns: it is %v", s.Slot(), s.State())
		}
	}
}

// What happens to a stream while it waits for its turn is no matter to the others, nor to
// the one that has its slot next.
func TestTurnsOfTheEnded(t *testing.T) {
	r := newRig(t, roomy())
	var got []uint32
	var all []link
	r.o.resume = func(s link) {
		got = append(got, s.Slot())
		if s == all[0] {
			all[3].Cut(nil) // in the midst of them
		}
	}
	for range 6 {
		s, _ := r.adopt()
		s.Yield()
		all = append(all, s)
	}
	all[1].Cut(nil)
	next, _ := r.adopt()
	if next.Slot() != all[1].Slot() {
		t.Fatalf("the next one has slot %d", next.Slot())
	}
	next.Hold(Custom)
	all[2].Finish(nil)
	all[4].Hold(Custom)
	r.d.After()
	r.d.Wake()
	if want := []uint32{all[0].Slot(), all[4].Slot(), all[5].Slot()}; !slices.Equal(got, want) {
		t.Errorf("went on: %v, want %v", got, want)
	}
	if all[4].State() != Held || next.State() != Held {
		t.Errorf("held by their owner: they are %v and %v", all[4].State(), next.State())
	}
	// One whose turn came before it had settled is not held for ever.
	s, peer := r.adopt()
	r.o.input = func(s link, _ []byte, _ bool) { s.Yield(); panic("bang") }
	r.o.faulted = func(link, error) {}
	r.send(peer, "x")
	r.d.Ready(s, poller.Readable)
	r.d.After()
	r.d.Wake()
	s.Go(Custom)
	if s.State() != Flowing {
		t.Errorf("it is %v, why %b", s.State(), s.Why())
	}
}
