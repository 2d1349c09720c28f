package limiter

import "time"

// Bucket is a token bucket in eight bytes: the instant at which it will be full
// again. The zero Bucket is full. It is owned by one goroutine, and so is not
// locked. Every method takes the Rate, which may be another one at each call,
// and now, a duration since a monotonic origin that is the same at each call and
// not negative; a clock that steps back only delays the refill.
type Bucket time.Duration

// AllowN takes n tokens and reports true, or takes none and reports false.
func (b *Bucket) AllowN(r Rate, now time.Duration, n int) bool {
	if r.Unlimited() {
		return true
	}
	full := max(time.Duration(*b), now) + r.cost(n)
	if full-now > r.depth() {
		return false
	}
	*b = Bucket(full)
	return true
}

// DelayN takes n tokens whether they are there or not, and returns how long the
// caller has to wait until they would have been: zero when they were. It is for
// callers that slow down rather than refuse.
func (b *Bucket) DelayN(r Rate, now time.Duration, n int) time.Duration {
	if r.Unlimited() {
		return 0
	}
	full := max(time.Duration(*b), now) + r.cost(n)
	*b = Bucket(full)
	return max(0, full-now-r.depth())
}

// WaitN takes nothing, and returns how long it will be until AllowN admits n:
// zero when it would now. More than a whole burst is never admitted; for such an
// n the answer is the time in which the bucket would fill that far.
func (b *Bucket) WaitN(r Rate, now time.Duration, n int) time.Duration {
	probe := *b
	return probe.DelayN(r, now, n)
}

// Full reports whether the bucket has all its tokens, and so can be forgotten
// and replaced by a zero one.
func (b *Bucket) Full(now time.Duration) bool { return time.Duration(*b) <= now }
