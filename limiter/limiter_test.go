package limiter

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"
	"unsafe"
)

func TestSizes(t *testing.T) {
	if got := unsafe.Sizeof(Bucket(0)); got != 8 {
		t.Errorf("Bucket is %d bytes, want 8", got)
	}
}

func TestZeroRateIsUnlimited(t *testing.T) {
	var b Bucket
	for range 1000 {
		if !b.AllowN(Rate{}, 0, 1<<20) {
			t.Fatal("a zero Rate refused")
		}
	}
	if d := b.DelayN(Rate{Limit: Inf}, 0, 1<<20); d != 0 {
		t.Fatalf("Inf delays by %v", d)
	}
}

func TestBurstThenRate(t *testing.T) {
	var b Bucket
	r := Rate{Limit: 10, Burst: 3}
	for i, want := range []bool{true, true, true, false} {
		if got := b.AllowN(r, 0, 1); got != want {
			t.Fatalf("event %d at 0: got %v, want %v", i, got, want)
		}
	}
	if d := b.WaitN(r, 0, 1); d != 100*time.Millisecond {
		t.Errorf("wait: got %v, want 100ms", d)
	}
	if b.AllowN(r, 99*time.Millisecond, 1) {
		t.Error("admitted 1 ms early")
	}
	if !b.AllowN(r, 100*time.Millisecond, 1) {
		t.Error("not admitted on time")
	}
}

func TestDelayKeepsTheRate(t *testing.T) {
	var b Bucket
	r := Rate{Limit: 1000, Burst: 10}
	var now time.Duration
	for range 10_000 {
		now += b.DelayN(r, now, 1)
	}
	if want := 9990 * time.Millisecond; now != want {
		t.Errorf("10,000 events took %v, want %v", now, want)
	}
}

func TestBurstBelowOneCountsAsOne(t *testing.T) {
	var b Bucket
	if !b.AllowN(Rate{Limit: 1}, 0, 1) || b.AllowN(Rate{Limit: 1}, 0, 1) {
		t.Error("a Burst of 0 must admit exactly one")
	}
}

func TestClockStepBack(t *testing.T) {
	var b Bucket
	r := Rate{Limit: 1, Burst: 1}
	b.AllowN(r, time.Hour, 1)
	if b.AllowN(r, time.Minute, 1) {
		t.Error("a clock that steps back must not admit more")
	}
	if !b.AllowN(r, time.Hour+time.Second, 1) {
		t.Error("the refill must go on once the clock is back")
	}
}

func TestLimitText(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Limit
		text string
	}{
		{"50/s", 50, "50/s"}, {"10/m", Limit(10.0 / 60), "10/m"}, {"3/h", Limit(3.0 / 3600), "3/h"},
		{"0", 0, "0"}, {"0.5/s", 0.5, "30/m"}, {"0/s", 0, "0"},
	} {
		var l Limit
		if err := l.UnmarshalText([]byte(c.in)); err != nil {
			t.Errorf("%q: %v", c.in, err)
		}
		if l != c.want || l.String() != c.text {
			t.Errorf("%q: got %v %q, want %v %q", c.in, float64(l), l.String(), float64(c.want), c.text)
		}
	}
	for _, in := range []string{"", "5", "/s", "x/s", "-1/s", "5/d", "NaN/s", "Inf/s", "1e12/s"} {
		var l Limit
		if err := l.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q was accepted as %v", in, float64(l))
		}
	}
}

func TestQuota(t *testing.T) {
	q := Quota{Max: 2}
	for place, want := range []bool{true, true, false} {
		if got := q.Acquire(); got != want {
			t.Fatalf("place %d of two: got %v, want %v", place+1, got, want)
		}
	}
	q.Release()
	if q.InUse() != 1 || !q.Acquire() {
		t.Fatal("a released place must be free again")
	}
	var none Quota
	for range 100 {
		if !none.Acquire() {
			t.Fatal("a zero Quota must not limit")
		}
	}
}

func TestQuotaConcurrent(t *testing.T) {
	q := Quota{Max: 3}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10_000 {
				if q.Acquire() {
					q.Release()
				}
			}
		})
	}
	wg.Wait()
	if q.InUse() != 0 {
		t.Errorf("%d places leaked", q.InUse())
	}
}

func TestKeyed(t *testing.T) {
	q := Keyed[string]{Max: 2, Rate: Rate{Limit: 1, Burst: 3}}
	for i := range 2 {
		if err := q.Acquire("a", 0); err != nil {
			t.Fatalf("place %d: %v", i, err)
		}
	}
	var limit *ErrLimit
	if err := q.Acquire("a", 0); !errors.As(err, &limit) || limit.RetryAfter != 0 {
		t.Fatalf("third place: got %v, want an ErrLimit without a time", err)
	}
	if err := q.Acquire("b", 0); err != nil {
		t.Fatalf("another key: %v", err)
	}
	q.Release("a")
	if err := q.Acquire("a", 0); err != nil {
		t.Fatalf("released place: %v", err)
	}
	q.Release("a")
	if err := q.Acquire("a", 0); !errors.As(err, &limit) || limit.RetryAfter != time.Second {
		t.Fatalf("fourth acquisition within the burst of three: got %v, want 1 s", err)
	}
}

func TestKeyedForgets(t *testing.T) {
	q := Keyed[int]{Rate: Rate{Limit: 1, Burst: 1}}
	for k := range 10_000 {
		if err := q.Acquire(k, 0); err != nil {
			t.Fatal(err)
		}
		q.Release(k)
	}
	for k := range 20_000 { // a second later the first ones are at rest
		if err := q.Acquire(100_000+k, 2*time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if n := q.Len(); n > 20_500 {
		t.Errorf("%d keys remembered, want the 20,000 in use and few others", n)
	}
	q.Release(-1) // releasing what was never acquired is harmless
}

func TestKeyedCheck(t *testing.T) {
	q := Keyed[string]{Max: 2, Rate: Rate{Limit: 1, Burst: 3}}
	same := func(now time.Duration) {
		t.Helper()
		checked, acquired := q.Check("a", now), q.Acquire("a", now)
		if fmt.Sprint(checked) != fmt.Sprint(acquired) {
			t.Errorf("at %v: Check says %v, Acquire %v", now, checked, acquired)
		}
	}
	for range 3 {
		same(0) // the third finds all places taken
	}
	q.Release("a")
	same(0) // the burst is used up
	q.Release("a")
	same(500 * time.Millisecond)
	same(time.Second)
}

// TestKeyedSweep: after a flood of keys nothing of it is left, though nobody
// acquires any more.
func TestKeyedSweep(t *testing.T) {
	q := Keyed[int]{Rate: Rate{Limit: 1, Burst: 1}}
	for k := range 100_000 {
		if err := q.Acquire(k, 0); err != nil {
			t.Fatal(err)
		}
		if k >= 10 {
			q.Release(k)
		}
	}
	for range keyedShards {
		q.Sweep(2 * time.Second)
	}
	if n := q.Len(); n != 10 {
		t.Errorf("%d keys remembered, want the 10 in use", n)
	}
	for i := range q.shards {
		if chunks := len(q.shards[i].buckets.chunks); chunks > 2 {
			t.Errorf("shard %d has %d chunks", i, chunks)
		}
	}
}

func BenchmarkBucketHot(b *testing.B) {
	var bucket Bucket
	r := Rate{Limit: 50, Burst: 100}
	var now time.Duration
	for b.Loop() {
		now += time.Millisecond
		bucket.AllowN(r, now, 1)
	}
}

func BenchmarkBucketMillionCold(b *testing.B) {
	buckets := make([]Bucket, 1_000_000)
	r := Rate{Limit: 50, Burst: 100}
	i := 0
	for b.Loop() {
		i = (i + 7919*64) % len(buckets)
		buckets[i].AllowN(r, time.Duration(i), 1)
	}
}
