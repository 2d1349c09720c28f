package limiter

import "sync/atomic"

// Quota counts how many are at something, and refuses more than Max. All methods
// are safe for any goroutine. A Quota must not be copied after its first use.
type Quota struct {
	// Max is the most that may be inside at once; zero or less is no limit. It is
	// not to be changed once the Quota is in use.
	Max int

	inUse atomic.Int64
}

// Acquire takes a place and reports true, or reports false because all are taken.
// Each true needs one Release.
func (q *Quota) Acquire() bool {
	if n := q.inUse.Add(1); q.Max > 0 && n > int64(q.Max) {
		q.inUse.Add(-1)
		return false
	}
	return true
}

// Release gives back a place that Acquire took.
func (q *Quota) Release() { q.inUse.Add(-1) }

// InUse returns how many places are taken at this moment.
func (q *Quota) InUse() int { return int(max(0, q.inUse.Load())) }
