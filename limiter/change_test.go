package limiter

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// TestChange: whatever a bucket has used of one rate, it has used of the next, as far as that has
// a burst, and a debt besides.
func TestChange(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50_000 {
		from := Rate{Limit: limits[rng.IntN(len(limits))].limit, Burst: 1 + rng.IntN(1000)}
		to := Rate{Limit: limits[rng.IntN(len(limits))].limit, Burst: 1 + rng.IntN(1000)}
		now := time.Duration(rng.Int64N(1e15))
		used := rng.IntN(2 * from.Burst)
		var b Bucket
		b.DelayN(from, now, used)
		b.Change(from, to, now)
		debt := max(0, used-from.Burst)
		left := to.Burst - min(used-debt, to.Burst) - debt
		if left > 0 && !b.AllowN(to, now, left) {
			t.Fatalf("%d of %+v, then %+v: there are not the %d that should be left", used, from, to, left)
		}
		if b.AllowN(to, now, max(1, 1-left)) {
			t.Fatalf("%d of %+v, then %+v: there are more than %d left", used, from, to, left)
		}
		if wait, most := b.WaitN(to, now, 1), time.Duration(float64(1-min(left, 0))/float64(to.Limit)*1e9); wait > most+most/1e6+2 {
			t.Fatalf("%d of %+v, then %+v: a wait of %v, want %v", used, from, to, wait, most)
		}
	}
	for _, none := range []Rate{{}, {Limit: Inf}} {
		some := Rate{Limit: 1, Burst: 5}
		var b Bucket
		b.DelayN(some, 0, 99)
		if b.Change(some, none, 0); b != 0 {
			t.Errorf("to no limit: got %d", b)
		}
		if b = 77; true {
			b.Change(none, some, 0)
		}
		if b != 0 {
			t.Errorf("from no limit: got %d", b)
		}
	}
}

// TestSetRate: all keys go over, whatever others ask for meanwhile.
func TestSetRate(t *testing.T) {
	q := Keyed[int]{Rate: Rate{Limit: Every(time.Hour), Burst: 10}}
	const keys = 1000
	for k := range keys {
		q.AllowN(k, 0, k%11)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for k := range keys {
				q.AllowN(k+keys, 0, 1)
				q.CancelN(k+keys, 0, 1)
				q.WaitN(k, 0, 1)
			}
		})
	}
	q.SetRate(Rate{Limit: 1000, Burst: 20}, 0)
	all.Wait()
	for k := range keys {
		if left := 20 - k%11; !q.AllowN(k, 0, left) || q.AllowN(k, 0, 1) {
			t.Fatalf("key %d has used %d of 10, and there are not %d of 20 left", k, k%11, left)
		}
	}
	q.SetRate(Rate{}, 0)
	if !q.AllowN(1, 0, 1e9) || q.WaitN(1, 0, 1e9) != 0 || q.DelayN(1, 0, 1e9) != 0 || q.Len() != 0 {
		t.Errorf("no limit: it limits, or remembers %d keys", q.Len())
	}
	q.SetRate(Rate{Limit: 1, Burst: 1}, 0)
	if !q.AllowN(1, 0, 1) || q.AllowN(1, 0, 1) {
		t.Error("a limit again does not limit to one")
	}
}

// TestAcquireUpTo: the limit is the caller's, and may be another each time.
func TestAcquireUpTo(t *testing.T) {
	var q Keyed[string]
	for n, tt := range []struct {
		most int
		want bool
	}{{1, true}, {1, false}, {2, true}, {2, false}, {0, true}, {-1, true}, {4, false}, {5, true}} {
		if got := q.AcquireUpTo("k", tt.most); got != tt.want {
			t.Errorf("%d, up to %d: got %v", n, tt.most, got)
		}
	}
	if n := q.InUse("k"); n != 5 {
		t.Errorf("%d places are taken, want 5", n)
	}
}
