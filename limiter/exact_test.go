package limiter

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"
)

// judge is a bucket in whole numbers, for a limit of count events in each per
// nanoseconds. It follows the decisions of a Bucket and says what is wrong with them.
type judge struct {
	count, per *big.Int
	burst      int
	full       *big.Int // in count-ths of a nanosecond
	admitted   int64
}

// newJudge takes the limit as it was meant, or as it is when it was not meant to be
// anything else.
func newJudge(limit *big.Rat, burst int) *judge {
	return &judge{
		count: limit.Num(), per: new(big.Int).Mul(limit.Denom(), big.NewInt(1e9)),
		burst: burst, full: new(big.Int),
	}
}

// over returns how many nanoseconds too early n events at now are; zero or less:
// they are not.
func (j *judge) over(now time.Duration, n int) (ns float64, after *big.Int) {
	at := new(big.Int).Mul(j.count, big.NewInt(int64(now)))
	after = new(big.Int).Set(at)
	if j.full.Cmp(at) > 0 {
		after.Set(j.full)
	}
	after.Add(after, new(big.Int).Mul(j.per, big.NewInt(int64(n))))
	over := new(big.Int).Sub(after, at)
	over.Sub(over, new(big.Int).Mul(j.per, big.NewInt(int64(j.burst))))
	ns, _ = new(big.Rat).SetFrac(over, j.count).Float64()
	return ns, after
}

// check compares one decision: refused although there was room, or admitted before
// its time by more than the tolerance the doc of Bucket names.
func (j *judge) check(now time.Duration, n int, admitted bool) error {
	ns, after := j.over(now, n)
	if !admitted {
		if ns <= 0 {
			return fmt.Errorf("%d at %v refused, %g ns after their time", n, now, -ns)
		}
		return nil
	}
	interval, _ := new(big.Rat).SetFrac(j.per, j.count).Float64()
	tick := max(0.0074, interval*0x1p-36)
	rounded := max(0x1p-51, interval/1e9*0x1p-60) * float64(now) // of the limit, over all the time there was
	if ns > tick+rounded {
		return fmt.Errorf("%d at %v admitted %g ns early, want at most %g", n, now, ns, tick+rounded)
	}
	j.full = after
	j.admitted += int64(n)
	return nil
}

// limits are the limits the tests of exactness run at: those whose interval is no
// whole number of nanoseconds, or whose count per second is no float64, are where
// rounding shows.
var limits = []struct {
	limit Limit
	meant *big.Rat
}{
	{1, big.NewRat(1, 1)}, {3, big.NewRat(3, 1)}, {7, big.NewRat(7, 1)}, {10, big.NewRat(10, 1)},
	{50, big.NewRat(50, 1)}, {997, big.NewRat(997, 1)}, {1000, big.NewRat(1000, 1)},
	{999_983, big.NewRat(999_983, 1)}, {3e6, big.NewRat(3e6, 1)}, {1e9, big.NewRat(1e9, 1)},
	{10. / 60, big.NewRat(10, 60)}, {1. / 7, big.NewRat(1, 7)}, {3. / 3600, big.NewRat(3, 3600)},
	{1. / 86400, big.NewRat(1, 86400)}, {Every(6 * time.Second), big.NewRat(1, 6)}, {Every(333 * time.Nanosecond), big.NewRat(1e9, 333)},
	{math.Pi, new(big.Rat).SetFloat64(math.Pi)}, {math.E * 1e5, new(big.Rat).SetFloat64(math.E * 1e5)},
}

// TestAgainstExactArithmetic asks at random times and at the very nanosecond that
// WaitN names, and the one before: every decision is the exact one. As each window
// begins and ends at one of them, none admits more than rate·t + burst, nor one
// fewer than it should.
func TestAgainstExactArithmetic(t *testing.T) {
	for _, l := range limits {
		for _, burst := range []int{1, 2, 10, 1000} {
			rng := rand.New(rand.NewPCG(uint64(burst), math.Float64bits(float64(l.limit))))
			r := Rate{Limit: l.limit, Burst: burst}
			j := newJudge(l.meant, burst)
			var b Bucket
			now := time.Duration(rng.Int64N(1e15))
			for range 2000 {
				n := 1 + rng.IntN(min(burst, 3))
				switch wait := b.WaitN(r, now, n); rng.IntN(4) {
				case 0:
					now += time.Duration(rng.Int64N(int64(min(3e9/float64(l.limit), 1e12)) + 2))
				case 1:
					now += max(wait-1, 0)
				case 2:
					now += wait
				}
				wait := b.WaitN(r, now, n)
				ok := b.AllowN(r, now, n)
				if ok != (wait == 0) {
					t.Fatalf("%v burst %d: AllowN(%d) at %v is %v, and WaitN was %v", l.limit, burst, n, now, ok, wait)
				}
				if err := j.check(now, n, ok); err != nil {
					t.Fatalf("%v burst %d: %v", l.limit, burst, err)
				}
			}
		}
	}
}

// TestAWeekWithoutDrift keeps buckets busy for a week of virtual time, in steps as
// large as it takes, and counts at its end.
func TestAWeekWithoutDrift(t *testing.T) {
	const week = 7 * 24 * time.Hour
	for _, l := range limits {
		step := max(1, int(float64(l.limit)*week.Seconds()/300_000)) // this many at once
		r := Rate{Limit: l.limit, Burst: step}
		const start = 12345 * time.Second
		now, end := start, start+week
		admitted := new(big.Int)
		var b Bucket
		for {
			before := b
			wait := b.DelayN(r, now, step)
			if now += wait; now > end {
				b = before
				break
			}
			admitted.Add(admitted, big.NewInt(int64(step)))
		}
		// What there is at the end to the last token.
		rest := 0
		for bit := 1 << 30; bit > 0; bit /= 2 {
			if bit <= step && b.AllowN(r, end, bit) {
				rest += bit
			}
		}
		admitted.Add(admitted, big.NewInt(int64(rest)))
		want := new(big.Rat).Mul(l.meant, big.NewRat(int64(week), 1e9))
		want.Add(want, big.NewRat(int64(step), 1))
		floor := new(big.Int).Quo(want.Num(), want.Denom())
		if d := new(big.Int).Sub(admitted, floor); d.Sign() != 0 {
			t.Errorf("%v: admitted %v in a week, want %v: %v too many", l.limit, admitted, floor, d)
		}
	}
}

// A clock that has run for years wraps a Bucket's ticks, and nobody notices.
func TestTicksWrap(t *testing.T) {
	for _, l := range limits {
		r := Rate{Limit: l.limit, Burst: 2}
		p := l.limit.pace()
		var wrap time.Duration // just before ticks begin anew, and before its half
		for lo, hi := time.Duration(0), time.Duration(math.MaxInt64); lo < hi; {
			mid := lo + (hi-lo)/2
			if t := float64(mid) * float64(p.scale) * 0x1p-55; t >= 0x1p64 {
				hi = mid
			} else {
				wrap, lo = mid, mid+1
			}
		}
		for _, from := range []time.Duration{wrap / 2, wrap} {
			j := newJudge(l.meant, 2)
			now := from - time.Duration(min(20e9/float64(l.limit), float64(from)))
			var b Bucket
			for range 100 {
				if err := j.check(now, 1, b.AllowN(r, now, 1)); err != nil {
					t.Fatalf("%v, around %v: %v", l.limit, from, err)
				}
				wait := b.WaitN(r, now, 1)
				if now > math.MaxInt64-wait-1 {
					break
				}
				now += wait
			}
		}
	}
}

func TestCancel(t *testing.T) {
	r := Rate{Limit: 10, Burst: 3}
	var b Bucket
	b.AllowN(r, 0, 3)
	if d := b.DelayN(r, 0, 2); d != 200*time.Millisecond {
		t.Fatalf("two more wait %v, want 200ms", d)
	}
	b.CancelN(r, 0, 2)
	if d := b.WaitN(r, 0, 1); d != 100*time.Millisecond {
		t.Errorf("after the cancellation: %v, want 100ms", d)
	}
	b.CancelN(r, time.Hour, 5) // refilled long since
	if b.AllowN(r, time.Hour, 4) || !b.AllowN(r, time.Hour, 3) {
		t.Error("a cancellation has made more than a burst")
	}
}

func TestExtremes(t *testing.T) {
	for _, r := range []Rate{
		{Limit: 1e-300, Burst: 5}, {Limit: math.SmallestNonzeroFloat64, Burst: 5}, {Limit: 1, Burst: math.MaxInt},
		{Limit: 1 << 36, Burst: math.MaxInt}, {Limit: 1. / 86400, Burst: 1_000_000},
	} {
		var b Bucket
		if !b.AllowN(r, 0, 5) {
			t.Errorf("%+v refuses five", r)
		}
		for range 100 { // no debt is so deep that it turns round
			b.DelayN(r, 0, math.MaxInt)
		}
		if r.Burst == 5 && b.AllowN(r, time.Hour, 1) {
			t.Errorf("%+v has forgotten its debts", r)
		}
		if d := b.WaitN(r, 0, math.MaxInt); d < 0 {
			t.Errorf("%+v waits %v", r, d)
		}
	}
	for _, l := range []Limit{0, -1, Limit(math.NaN()), Limit(math.Inf(1)), Limit(math.Inf(-1)), Inf, 1 << 37, Limit(math.Copysign(0, -1))} {
		if !l.unlimited() {
			t.Errorf("%v is a limit", float64(l))
		}
	}
	for _, l := range []Limit{math.SmallestNonzeroFloat64, 1e-9, 1, 1<<37 - 1} {
		if l.unlimited() {
			t.Errorf("%v is no limit", float64(l))
		}
	}
}

// FuzzExact is TestAgainstExactArithmetic for any limit.
func FuzzExact(f *testing.F) {
	f.Add(uint64(1), 3.0, uint16(1))
	f.Add(uint64(2), 3e6, uint16(100))
	f.Add(uint64(3), 1.0/7, uint16(7))
	f.Fuzz(func(t *testing.T, seed uint64, limit float64, burst uint16) {
		if !(limit > 1e-6 && limit < 1e11) {
			return
		}
		rng := rand.New(rand.NewPCG(seed, 0))
		r := Rate{Limit: Limit(limit), Burst: int(burst%1000) + 1}
		j := newJudge(new(big.Rat).SetFloat64(limit), r.Burst)
		var b Bucket
		now := time.Duration(rng.Int64N(1e16))
		for range 300 {
			n := 1 + rng.IntN(r.Burst)
			switch rng.IntN(3) {
			case 0:
				now += time.Duration(rng.Int64N(int64(min(3e9/limit, 1e12)) + 2))
			case 1:
				now += b.WaitN(r, now, n)
			}
			if now > 1<<58 { // nine years
				return
			}
			if err := j.check(now, n, b.AllowN(r, now, n)); err != nil {
				t.Fatalf("%v burst %d: %v", limit, r.Burst, err)
			}
		}
	})
}
