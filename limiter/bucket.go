package limiter

import (
	"math"
	"math/bits"
	"time"
)

// Bucket is a token bucket in eight bytes: the instant at which it will be full
// again. The zero Bucket is full. It is owned by one goroutine, and so is not
// locked.
//
// Every method takes the Rate and now, a duration since a monotonic origin that is
// the same at each call and not negative; a clock that steps back only delays the
// refill. The Burst may be another one at each call. The Limit may not: a Bucket
// counts in fractions of its tokens, and Change is how it goes over to another.
//
// A Bucket is exact: an event that has to wait is admitted at the first nanosecond
// at which there is a whole token for it, never later, and never earlier by more
// than a tick: 8 ps, or 2⁻³⁶ of the interval if that is more than a second. Nothing
// adds up from event to event, at any limit and for however long; the limit itself is
// rounded up to a float64, and below 1/s to fewer bits: to 40 at one a week. A bucket
// that was left alone for a year must be replaced by a zero one.
type Bucket uint64

// AllowN takes n tokens and reports true, or takes none and reports false. More
// than a whole burst is never admitted.
func (b *Bucket) AllowN(r Rate, now time.Duration, n int) bool {
	if r.Limit.unlimited() {
		return true
	}
	p := r.Limit.pace()
	t := p.ticks(now)
	used, cost := b.used(t), p.cost(n)
	if used > p.depth(r)-cost {
		return false
	}
	b.set(t, used+cost)
	return true
}

// DelayN takes n tokens whether they are there or not, and returns how long the
// caller has to wait until they would have been: zero when they were, and a hundred
// years at most. It is for callers that slow down rather than refuse.
func (b *Bucket) DelayN(r Rate, now time.Duration, n int) time.Duration {
	if r.Limit.unlimited() {
		return 0
	}
	p := r.Limit.pace()
	t := p.ticks(now)
	used := min(min(b.used(t), farthest)+p.cost(n), farthest)
	b.set(t, used)
	return p.until(now, used-p.depth(r))
}

// WaitN takes nothing, and returns how long it will be until AllowN admits n:
// zero when it would now. More than a whole burst is never admitted; for such an
// n the answer is the time in which the bucket would fill that far.
func (b *Bucket) WaitN(r Rate, now time.Duration, n int) time.Duration {
	probe := *b
	return probe.DelayN(r, now, n)
}

// CancelN gives back n tokens that AllowN or DelayN took, as far as the bucket has
// not been refilled since.
func (b *Bucket) CancelN(r Rate, now time.Duration, n int) {
	if r.Unlimited() || *b == 0 {
		return
	}
	p := r.Limit.pace()
	t := p.ticks(now)
	b.set(t, max(0, b.used(t)-p.cost(n)))
}

// Change goes over from one Rate to another. What was used stays used, but at most a whole burst
// of the new rate, so that nobody who kept to the old rate is in debt by the new; a debt that
// DelayN has made is added to that. Where either is no limit, the bucket is full.
func (b *Bucket) Change(from, to Rate, now time.Duration) {
	if from.Unlimited() || to.Unlimited() {
		*b = 0
		return
	}
	p, q := from.Limit.pace(), to.Limit.pace()
	used := b.used(p.ticks(now))
	if used == 0 {
		*b = 0
		return
	}
	debt := max(0, used-p.depth(from))
	missing := min(q.convert(used-debt, p), q.depth(to))
	b.set(q.ticks(now), min(missing+q.convert(debt, p), farthest))
}

// isFull reports whether the bucket has all its tokens, and so can be forgotten
// and replaced by a zero one.
func (b *Bucket) isFull(r Rate, now time.Duration) bool {
	return r.Limit.unlimited() || b.used(r.Limit.pace().ticks(now)) == 0
}

// used returns how many ticks' worth of tokens are missing at tick t. Ticks wrap,
// so that instants are compared by their distance.
func (b *Bucket) used(t uint64) int64 {
	used := int64(uint64(*b) - t)
	if used <= 0 || *b == 0 {
		return 0
	}
	return used
}

// set makes used ticks' worth of tokens missing at tick t. Once in 2⁶⁴ that is 0, and
// the bucket full.
func (b *Bucket) set(t uint64, used int64) { *b = Bucket(t + uint64(used)) }

// pace is a Limit in ticks, the unit a Bucket counts in. A token is a whole number
// of ticks, a power of two, so that charging never rounds; what is rounded is now,
// anew at each call. A nanosecond is scale·2⁻⁵⁵ ticks: 137 to 275 of them for one
// event a second and more, so that ticks wrap in two years.
type pace struct {
	scale uint64
	shift uint // a token is 2^shift ticks
}

const (
	// tokenBits makes a tick shorter than 8 ps for limits of 1/s and above. For
	// slower ones a token stays at 2^tokenBits ticks, as a burst has to fit.
	tokenBits = 37

	bias = 1023 // of a float64's exponent

	// perNano is 10⁻⁹·2⁹³ rounded up, its highest bit the 63rd.
	perNano = 0x89705f4136b4a598

	// longest is the longest wait there is, a hundred years: as good as forever, and
	// callers can add it to their clock and to another without an overflow.
	longest = 100 * 365 * 24 * time.Hour

	// farthest is the deepest debt, and the largest burst: what comes in in 97 days at
	// 1/s and above, 16 million tokens below. Twice that is still an int64.
	farthest = 1 << 61
)

// pace takes the limit apart: m·2^(e-63) a second, with m's highest bit set, and half
// a float64's last bit added, so that a limit that is none, like a third, is rounded
// up. At limits that are not normal numbers there will never be a second event.
func (l Limit) pace() pace {
	b := math.Float64bits(float64(l))
	scale, _ := bits.Mul64(b<<11|1<<63|1<<10, perNano)
	e := uint(b >> 52)
	if e >= bias {
		return pace{scale + 1, bias + tokenBits - e}
	}
	return pace{scale>>min(bias-e, 63) + 1, tokenBits}
}

// ticks returns now in ticks. Rounding the scale up and the product down, it never
// keeps an event waiting that has its token.
func (p pace) ticks(now time.Duration) uint64 {
	hi, lo := bits.Mul64(uint64(now), p.scale)
	return hi<<9 | lo>>55
}

// cost returns the ticks that n tokens take.
func (p pace) cost(n int) int64 {
	if uint64(n) >= farthest>>(p.shift&63) {
		return saturate(n)
	}
	return int64(n) << (p.shift & 63)
}

func saturate(n int) int64 {
	if n <= 0 {
		return 0
	}
	return farthest
}

// convert returns as many tokens in p's ticks as n are in those of from, rounded up.
func (p pace) convert(n int64, from pace) int64 {
	if p.shift < from.shift {
		by := (from.shift - p.shift) & 63
		return (n + 1<<by - 1) >> by
	}
	by := (p.shift - from.shift) & 63
	if n > farthest>>by {
		return farthest
	}
	return n << by
}

// depth returns the ticks of a whole burst.
func (p pace) depth(r Rate) int64 { return p.cost(max(r.Burst, 1)) }

// until returns how long after now the clock is wait ticks further, to the
// nanosecond.
func (p pace) until(now time.Duration, wait int64) time.Duration {
	if wait <= 0 {
		return 0
	}
	const fraction = 1<<55 - 1
	_, lo := bits.Mul64(uint64(now), p.scale)
	lo, borrow := bits.Sub64(uint64(wait)<<55, lo&fraction, 0)
	hi := uint64(wait)>>9 - borrow
	if hi >= p.scale>>1 {
		return longest
	}
	d, rest := bits.Div64(hi, lo, p.scale)
	if rest > 0 {
		d++
	}
	return min(time.Duration(min(d, math.MaxInt64)), longest)
}
