//go:build linux

package stream

import (
	"slices"
	"testing"
)

// When more is lent than may be, those that hold most give it up, in that order, and no
// more of them than it takes; what holds nothing is not asked.
func TestShed(t *testing.T) {
	cfg := roomy()
	r := newRig(t, cfg)
	var victims []uint32
	r.o.victim = func(s link) {
		victims = append(victims, s.Slot())
		s.Cut(ErrShed)
	}
	hold := func(n int) link {
		s, _ := r.adopt()
		x := s.NeedExtra()
		x.b = r.l.Buffers.Get(n)
		return s
	}
	small, large, larger := hold(1<<10), hold(8<<10), hold(16<<10)
	r.adopt() // idle
	flooded, _ := r.adopt()
	flooded.Write(make([]byte, 1<<20)) // its outbox counts, too
	kept := hold(4 << 10)
	asked := kept
	r.l.Buffers.budget = r.l.Buffers.InUse()
	if r.d.After(); victims != nil {
		t.Fatalf("within the budget: victims %v", victims)
	}
	r.l.Buffers.budget = 5 << 10
	r.d.After()
	if want := []uint32{flooded.Slot(), larger.Slot(), large.Slot()}; !slices.Equal(victims, want) {
		t.Errorf("victims: %v, want %v", victims, want)
	}
	if small.State() != Flowing || asked.State() != Flowing {
		t.Errorf("those that hold less are %v and %v", small.State(), asked.State())
	}
	// One that does not give up is asked once a pass, and the next after it.
	r.l.Buffers.budget = 1
	victims = nil
	r.o.victim = func(s link) { victims = append(victims, s.Slot()) }
	r.d.After()
	r.d.After()
	if want := []uint32{kept.Slot(), small.Slot(), kept.Slot(), small.Slot()}; !slices.Equal(victims, want) {
		t.Errorf("those that do not give up: %v, want %v", victims, want)
	}
}

// Streams that have only their end to send are cut, and counted; one that is gone is its
// owner's.
func TestShedTheEnding(t *testing.T) {
	r := newRig(t, roomy())
	var victims []State
	r.o.victim = func(s link) {
		victims = append(victims, s.State())
		x := s.NeedExtra()
		r.l.Buffers.Put(x.b)
		x.b = nil
		s.Free()
	}
	ending, _ := r.adopt()
	ending.Write(plenty)
	ending.Finish(nil)
	tok := ending.Token()
	gone, _ := r.adopt()
	r.o.ended = func(s link, _ error) bool {
		if s == gone {
			s.NeedExtra().b = r.l.Buffers.Get(100)
		}
		return s == gone
	}
	gone.Cut(nil)
	r.l.Buffers.budget = 1
	r.d.After()
	if got := r.o.causes[tok]; got != ErrShed || r.e.Stats().Shed != 1 {
		t.Errorf("the one that was ending: %v, %+v", got, r.e.Stats())
	}
	if want := []State{Gone}; !slices.Equal(victims, want) || gone.State() != Free {
		t.Errorf("victims: %v, want %v; it is %v", victims, want, gone.State())
	}
	if n := r.l.Buffers.InUse(); n != 0 {
		t.Errorf("%d bytes are lent", n)
	}
}
