package oracle

import (
	"math/rand/v2"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/usher-ws/usher/limiter"
)

// FuzzBucket holds the Bucket against x/time/rate: the same events at the same
// times get the same answers, save where x/time/rate, which keeps its tokens as a
// float64 and rounds at each call, misses the nanosecond.
func FuzzBucket(f *testing.F) {
	f.Add(uint64(1), uint16(50), uint8(100))
	f.Add(uint64(7), uint16(3), uint8(1))
	f.Add(uint64(99), uint16(999), uint8(7))
	f.Fuzz(func(t *testing.T, seed uint64, limit uint16, burst uint8) {
		r := limiter.Rate{Limit: limiter.Limit(limit%1000) + 1, Burst: int(burst)%100 + 1}
		oracle := rate.NewLimiter(rate.Limit(r.Limit), r.Burst)
		rng := rand.New(rand.NewPCG(seed, 0))
		base := time.Unix(1e9, 0)
		var b limiter.Bucket
		var now time.Duration
		for range 500 {
			now += time.Duration(rng.Int64N(int64(2 * float64(time.Second) / float64(r.Limit))))
			n := 1 + rng.IntN(min(3, r.Burst))
			mine := b.AllowN(r, now, n)
			theirs := oracle.AllowN(base.Add(now), n)
			if mine == theirs {
				continue
			}
			// Were it a microsecond's difference, one of us would be wrong.
			if wait := b.WaitN(r, now, n); theirs && wait > time.Microsecond {
				t.Fatalf("rate %v burst %d at %v: x/time/rate admits %d, we would in %v", r.Limit, r.Burst, now, n, wait)
			}
			if left := oracle.TokensAt(base.Add(now)); mine && float64(n)-left > float64(r.Limit)*1e-6 {
				t.Fatalf("rate %v burst %d at %v: we admit %d, x/time/rate has %v", r.Limit, r.Burst, now, n, left)
			}
			if mine { // go on from the same state
				oracle.ReserveN(base.Add(now), n)
			} else {
				b.DelayN(r, now, n)
			}
		}
	})
}
