//go:build linux

package stream

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/usher-ws/usher/internal/timer"
	"github.com/usher-ws/usher/poller"
)

// A number of ticks is never too few, and a deadline beyond the clock's end is at its end.
func TestTicks(t *testing.T) {
	for d, want := range map[time.Duration]uint32{
		-1: 0, 0: 0, 1: 2, TickLength: 2, TickLength + 1: 3, 10 * TickLength: 11, math.MaxInt64: math.MaxUint32,
	} {
		if got := Ticks(d); got != want {
			t.Errorf("%v: got %d, want %d", d, got, want)
		}
	}
	if got := Behind(math.MaxUint32-1, 100); got != math.MaxUint32 {
		t.Errorf("got %d", got)
	}
	if got := Behind(7, 0); got != 0 {
		t.Errorf("no time behind 7: got %d, want none", got)
	}
}

// A deadline comes when it has passed and not before, once, on whatever chunk of the table
// it is.
func TestDeadlines(t *testing.T) {
	r := newRig(t, roomy())
	var got []uint32
	r.o.due = func(s link) {
		if s.Due() != 0 {
			t.Errorf("stream %d has the deadline %d in Due", s.Slot(), s.Due())
		}
		got = append(got, s.Slot())
	}
	at := map[uint32]uint32{}
	for k := range 300 {
		s, _ := r.adopt()
		s.SetDue(r.l.Tick() + 1 + uint32(k*7%40))
		if k%3 == 0 {
			s.DueBy(r.l.Tick() + 1 + uint32(k*5%40))
		}
		at[s.Slot()] = s.Due()
	}
	for range 60 {
		got = got[:0]
		r.advance()
		for _, i := range got {
			if at[i] != r.l.Tick() {
				t.Errorf("stream %d in tick %d: its deadline is %d", i, r.l.Tick(), at[i])
			}
			delete(at, i)
		}
	}
	if len(at) > 0 {
		t.Errorf("%d deadlines did not come", len(at))
	}
}

// Of many deadlines at once a turn has so many, and the others come in the next ones.
func TestDuesPerTurn(t *testing.T) {
	r := newRig(t, roomy())
	const crowd = 2*duesPerTurn + 10
	for range crowd {
		s, _ := r.adopt()
		s.SetDue(r.l.Tick() + 1)
	}
	r.d.Advance(2)
	r.l.sweeping = 1
	for turn, want := range []int{duesPerTurn, 2 * duesPerTurn, crowd} {
		if (events[mark, bag]{r.l}).sweep(); r.o.count("due") != want {
			t.Fatalf("turn %d: %d have come, want %d", turn, r.o.count("due"), want)
		}
	}
	if r.l.sweeping != 0 {
		t.Error("the look at the deadlines has not ended")
	}
}

// So has it of points in time, and of those whose lingering is over.
func TestPointsInTimePerTurn(t *testing.T) {
	r := newRig(t, roomy())
	r.d.Tell(func(int) poller.Outgoing { return poller.Outgoing{Sent: time.Hour} })
	const crowd = duesPerTurn + 10
	over := timer.Queue{}
	for range crowd {
		delayed, _ := r.adopt()
		delayed.DueAt(r.l.Now())
		lingers, _ := r.adopt()
		lingers.Finish(nil)
		over.Push(timer.Timer{At: r.l.Now(), Token: lingers.Token()})
	}
	r.l.lingering.queue = over
	for turn, want := range []int{duesPerTurn, crowd} {
		r.d.Timer()
		if due, ended := r.o.count("due"), r.o.count("ended"); due != want || ended != want {
			t.Errorf("turn %d: %d have come and %d have ended, want %d", turn, due, ended, want)
		}
	}
}

// A look at the deadlines that comes late is left out, the next one is not.
func TestLateLooks(t *testing.T) {
	r := newRig(t, roomy())
	s, _ := r.adopt()
	s.SetDue(r.l.Tick() + 1)
	look := func(d time.Duration) {
		r.d.Advance(Ticks(d))
		for (events[mark, bag]{r.l}).lookAround(d); r.l.sweeping != 0; {
			events[mark, bag]{r.l}.sweep()
		}
	}
	look(time.Minute) // the process was stopped
	if n := r.o.count("due"); n != 0 {
		t.Errorf("after a late look: %d deadlines came, want none", n)
	}
	other, _ := r.adopt()
	other.SetDue(r.l.Tick() + 1)
	look(time.Second) // and is slow
	if n := r.o.count("due"); n != 2 {
		t.Errorf("after the next: %d deadlines came, want 2", n)
	}
	look(lateTick - 1)
	if n := r.l.LateTicks(); n != 2 {
		t.Errorf("%d looks came late, want 2", n)
	}
}

// An owner's deadline stands while bytes wait, whatever else comes.
func TestDeadlineWhileBytesWait(t *testing.T) {
	r := newRig(t, roomy())
	s, peer := r.adopt()
	want := r.l.Deadline(10 * time.Second)
	s.SetDue(want)
	s.Write(plenty)
	if got := s.Due(); got != want || s.State() != Held {
		t.Fatalf("while bytes wait: %d, want %d; it is %v", got, want, s.State())
	}
	s.DueAt(r.l.Now())
	r.d.Timer()
	if got := s.Due(); got != want || r.o.count("due") != 1 {
		t.Fatalf("a point in time came %d times: the deadline is %d, want %d", r.o.count("due"), got, want)
	}
	r.l.engine.cfg.Progress = func(int) poller.Outgoing { return poller.Outgoing{Unsent: 1} }
	for r.l.Tick() < want-1 {
		r.advance()
	}
	if n := r.o.count("due"); n != 1 {
		t.Fatalf("the deadline came too early")
	}
	r.advance()
	if n := r.o.count("due"); n != 2 || s.Due() != 0 {
		t.Fatalf("the deadline has passed: told %d times, want twice; it is %d", n, s.Due())
	}
	want = r.l.Deadline(time.Hour)
	s.SetDue(want)
	for s.Waiting() > 0 {
		r.receive(peer)
		r.d.Writable(s)
	}
	if got := *r.l.slab.due(s.i); got != want || s.Due() != want {
		t.Errorf("when all has left: %d, want %d", got, want)
	}
	s.DueAt(r.l.Now())
	r.d.Timer()
	if got := s.Due(); got != want || r.o.count("due") != 3 {
		t.Errorf("a point in time came %d times: the deadline is %d, want %d", r.o.count("due")-2, got, want)
	}
}

// A peer that takes bytes so slowly that the kernel asks for no more meanwhile is not cut
// by the write-timeout; one that takes nothing is, in time.
func TestSlowTakerIsHeld(t *testing.T) {
	for _, state := range []State{Held, Finishing} {
		r := newRig(t, roomy())
		c := &cellRig{rig: r}
		c.bring(state)
		limit := r.l.engine.cfg.WriteTimeout
		r.l.engine.cfg.Progress = func(int) poller.Outgoing { return poller.Outgoing{Unsent: 1, Sent: limit * 2 / 3} }
		for range Ticks(10 * limit) {
			r.advance()
		}
		if got := c.s.State(); got != state {
			t.Fatalf("it takes something now and then: it is %v, want %v", got, state)
		}
		r.l.engine.cfg.Progress = func(int) poller.Outgoing { return poller.Outgoing{Unsent: 1, Sent: time.Hour} }
		for range Ticks(limit) + 1 {
			r.advance()
		}
		if got := c.s.State(); got != Free {
			t.Errorf("it takes nothing: it is %v, want free", got)
		}
	}
}

// TestLateIsNotStalled: while the loop is held up it offers a peer nothing, so that time does
// not count; nor is that a way to be held for longer.
func TestLateIsNotStalled(t *testing.T) {
	for _, state := range []State{Held, Finishing} {
		r := newRig(t, roomy())
		c := &cellRig{rig: r}
		c.bring(state)
		limit := r.l.engine.cfg.WriteTimeout
		for range 3 { // the first late look is left out
			r.d.Late(10 * limit)
		}
		if got := c.s.State(); got != state {
			t.Fatalf("after the loop was held up it is %v, want %v", got, state)
		}
		for range Ticks(limit) + 1 {
			r.advance()
		}
		if got := c.s.State(); got != Free {
			t.Errorf("a peer that had its time: it is %v, want free", got)
		}
	}
}

// A point in time does not outlive its stream: those of streams that come, wait for hours and
// go do not pile up.
func TestPointsOfTheGone(t *testing.T) {
	r := newRig(t, roomy())
	stays, _ := r.adopt()
	stays.DueAt(r.l.Now() + time.Hour)
	for range 5000 {
		s := r.d.Seat()
		s.DueAt(r.l.Now() + 2*time.Hour)
		r.d.Unseat(s)
	}
	if n := r.l.exact.Len(); n > 200 {
		t.Errorf("%d points in time for one stream", n)
	}
	if at, ok := r.l.exact.First(); !ok || at != r.l.Now()+time.Hour {
		t.Errorf("the next is at %v, %v", at, ok)
	}
}

// Points in time come in their order, to the streams that still are there.
func TestPointsInTime(t *testing.T) {
	r := newRig(t, roomy())
	var got []uint32
	r.o.due = func(s link) { got = append(got, s.Slot()) }
	var want []uint32
	for k := range 8 {
		s, _ := r.adopt()
		s.DueAt(r.l.Now() - time.Duration(k))
		switch k {
		case 3:
			s.Cut(nil)
			r.adopt() // in the same slot
		case 5:
			s.Finish(nil)
		default:
			want = append([]uint32{s.Slot()}, want...)
		}
	}
	later, _ := r.adopt()
	later.DueAt(r.l.Now() + time.Hour)
	if r.d.Timer(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
