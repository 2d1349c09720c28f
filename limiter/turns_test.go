package limiter

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// party is a Turns with one caller inside and others that wait, whose turns are noted.
type party struct {
	Turns[string]
	t     *testing.T
	turns chan string
	wg    sync.WaitGroup
}

func newParty(t *testing.T, waiting int) *party {
	p := &party{Turns: Turns[string]{Waiting: waiting}, t: t, turns: make(chan string)}
	if err := p.Acquire(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	return p
}

// wait has a caller of k wait, and returns when it does.
func (p *party) wait(ctx context.Context, k string) {
	_, before := p.InUse()
	p.wg.Go(func() {
		switch err := p.Acquire(ctx, k); err {
		case nil:
			p.turns <- k
		case ErrFull:
			p.turns <- k + " is sent away"
		default:
			p.turns <- k + " has left"
		}
	})
	for {
		if _, now := p.InUse(); now != before {
			return
		}
		runtime.Gosched()
	}
}

// rest returns the keys in the order of their turns, as each turn ends.
func (p *party) rest() (all []string) {
	for {
		p.Release()
		inside, _ := p.InUse()
		if inside == 0 {
			p.wg.Wait()
			return all
		}
		all = append(all, <-p.turns)
	}
}

func TestTurns(t *testing.T) {
	t.Parallel()
	p := newParty(t, 100)
	for _, k := range []string{"a", "a", "a", "a", "b", "b", "c"} {
		p.wait(t.Context(), k)
	}
	// Lines that had no turn and such that had alternate while there are both.
	if got, want := p.rest(), []string{"a", "b", "a", "c", "b", "a", "a"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if p.lines != nil || p.fresh != nil || p.served != nil {
		t.Error("lines are kept that nobody waits in")
	}
}

// A newcomer waits for two turns at most, however many keys always have somebody waiting.
func TestNewcomer(t *testing.T) {
	t.Parallel()
	p := newParty(t, 1000)
	for n := range 200 {
		p.wait(t.Context(), fmt.Sprint("crowd ", n%40))
	}
	for range 80 { // each has had one
		p.Release()
		<-p.turns
	}
	p.wait(t.Context(), "newcomer")
	if got := p.rest(); slices.Index(got, "newcomer") > 1 || len(got) != 121 {
		t.Errorf("got %q", got)
	}
}

// Nobody starves because there is always another newcomer.
func TestNewcomersPassOnce(t *testing.T) {
	t.Parallel()
	p := newParty(t, 1000)
	for range 3 {
		p.wait(t.Context(), "old")
	}
	var got []string
	for n := range 10 {
		p.wait(t.Context(), fmt.Sprint(n))
		p.Release()
		got = append(got, <-p.turns)
	}
	if n := len(slices.DeleteFunc(slices.Clone(got), func(s string) bool { return s != "old" })); n != 3 {
		t.Errorf("old had %d turns of ten, want its three: %q", n, got)
	}
	if n := len(p.lines); n > 10 {
		t.Errorf("%d lines are kept", n)
	}
	p.rest()
}

// When there is no room, the longest line makes some, and is no shorter for that.
func TestTurnsAreBounded(t *testing.T) {
	t.Parallel()
	p := newParty(t, 5)
	for _, k := range []string{"a", "a", "a", "a", "b"} {
		p.wait(t.Context(), k)
	}
	if err := p.Acquire(t.Context(), "a"); err != ErrFull {
		t.Errorf("the longest line is longer: %v", err)
	}
	join := func(k string) {
		p.wg.Go(func() {
			if err := p.Acquire(context.Background(), k); err != nil {
				k = fmt.Sprint(k, err)
			}
			p.turns <- k
		})
		if got := <-p.turns; got != "a is sent away" {
			t.Errorf("%s joins: %s", k, got)
		}
	}
	join("c")   // a a a, b, c
	join("b")   // a a, b b, c
	p.mu.Lock() // until the newcomer is in line
	for k, want := range map[string]int{"a": 2, "b": 2, "c": 1} {
		if got := len(p.lines[k].callers); got != want {
			t.Errorf("%d of %s wait, want %d", got, k, want)
		}
	}
	p.mu.Unlock()
	if err := p.Acquire(t.Context(), "c"); err != ErrFull {
		t.Errorf("the shortest line would be as long as the longest was: %v", err)
	}
	if got := p.rest(); len(got) != 5 {
		t.Errorf("got %q", got)
	}
}

func TestTurnsGivenUp(t *testing.T) {
	t.Parallel()
	p := newParty(t, 10)
	ctx, cancel := context.WithCancel(t.Context())
	p.wait(ctx, "a")
	p.wait(ctx, "b")
	p.wait(t.Context(), "b")
	cancel()
	gone := []string{<-p.turns, <-p.turns}
	slices.Sort(gone)
	if want := []string{"a has left", "b has left"}; !slices.Equal(gone, want) {
		t.Errorf("got %q, want %q", gone, want)
	}
	if err := p.Acquire(ctx, "c"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if len(p.lines) != 1 || len(p.fresh) != 1 {
		t.Errorf("%d lines are kept, want that of b", len(p.lines))
	}
	if got := p.rest(); !slices.Equal(got, []string{"b"}) {
		t.Errorf("got %q, want b", got)
	}
}

// Places are given back whatever happens at the same time.
func TestTurnsUnderLoad(t *testing.T) {
	t.Parallel()
	q := Turns[int]{Places: 3, Waiting: 8}
	var wg sync.WaitGroup
	for k := range 16 {
		wg.Go(func() {
			for n := range 500 {
				ctx, cancel := context.WithCancel(t.Context())
				if n%3 == 0 {
					go cancel()
				}
				if q.Acquire(ctx, k%5) == nil {
					runtime.Gosched()
					q.Release()
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if inside, waiting := q.InUse(); inside != 0 || waiting != 0 || q.lines != nil {
		t.Errorf("%d are inside, %d wait, %d lines", inside, waiting, len(q.lines))
	}
}

// Those that do not wait themselves are called when their turn comes, in the same order, and
// can leave until then.
func TestQueue(t *testing.T) {
	t.Parallel()
	turns := Turns[string]{Places: 2, Waiting: 4}
	var called []string
	queue := func(k, name string) (leave func() bool) {
		return turns.Queue(k, func(err error) {
			if err != nil {
				name += " is sent away"
			}
			called = append(called, name)
		})
	}
	expect := func(want ...string) {
		t.Helper()
		if !slices.Equal(called, want) {
			t.Errorf("called are %q, want %q", called, want)
		}
		called = nil
	}
	if !turns.TryAcquire() {
		t.Error("no place is free")
	}
	if leave := queue("a", "a1"); leave() {
		t.Error("a1 has left, and its turn had come")
	}
	expect("a1")
	if turns.TryAcquire() {
		t.Error("a third place")
	}
	leaveA2, leaveA3 := queue("a", "a2"), queue("a", "a3")
	queue("a", "a4")
	queue("a", "a5")
	queue("b", "b1")
	expect("a5 is sent away")
	if !leaveA3() || leaveA3() {
		t.Error("a3 leaves once")
	}
	if _, waiting := turns.InUse(); waiting != 3 {
		t.Errorf("%d wait, want 3", waiting)
	}
	turns.Release()
	turns.Release()
	expect("a2", "b1")
	if leaveA2() {
		t.Error("a2 has left, and its turn had come")
	}
	turns.Release()
	expect("a4")
	turns.Release()
	turns.Release()
	if inside, waiting := turns.InUse(); inside != 0 || waiting != 0 || turns.lines != nil {
		t.Errorf("%d inside and %d waiting are left", inside, waiting)
	}
	expect()
}
