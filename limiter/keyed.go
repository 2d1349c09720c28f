package limiter

import (
	"fmt"
	"hash/maphash"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// ErrLimit is what Keyed.Acquire returns when a key has reached a limit. RetryAfter is
// zero when only a Release can help.
type ErrLimit struct {
	RetryAfter time.Duration
}

// Error says which of the two limits was met.
func (e *ErrLimit) Error() string {
	if e.RetryAfter == 0 {
		return "limiter: all places of this key are taken"
	}
	return fmt.Sprintf("limiter: too often for this key, retry in %v", e.RetryAfter)
}

// Keyed limits each key by itself: at most Max at once, and no more often than
// Rate. Acquire and Release are for what lasts; AllowN and the other verbs of
// Bucket are for events that have no duration. All methods are safe for any goroutine,
// and take one of 64 locks for a moment. A key that holds nothing and whose bucket is
// full again is forgotten, so memory follows the keys in use: under 100 MB for a
// million addresses. A Keyed must not be copied after its first use.
type Keyed[K comparable] struct {
	// Not to be changed once the Keyed is in use.
	Max  int  // places per key at once; zero or less is no limit
	Rate Rate // of each key; zero is no limit

	once   sync.Once
	seed   maphash.Seed
	swept  atomic.Uint32 // the shard that Sweep looked at last
	shards [keyedShards]keyedShard[K]
}

// keyedShards spreads the lock: with a few loops accepting at once, two of them
// seldom want the same one.
const keyedShards = 64

// keyedShard keeps what it knows of a key in two tables, as most keys are in one of
// them: 32 bytes for an address and its bucket, before what the map adds.
type keyedShard[K comparable] struct {
	mu      sync.Mutex
	inUse   map[K]int // places taken, never 0
	buckets map[K]Bucket
	untried int // calls until the next sweep
	most    int // buckets there were since their map was made
}

// Acquire takes a place for k, or returns an *ErrLimit. Each nil needs one
// Release. now is as for Bucket.
func (q *Keyed[K]) Acquire(k K, now time.Duration) error {
	s := q.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.Max > 0 && s.inUse[k] >= q.Max {
		return &ErrLimit{}
	}
	if !s.allow(q.Rate, k, now, 1) {
		return &ErrLimit{RetryAfter: s.wait(q.Rate, k, now, 1)}
	}
	s.inUse[k]++
	return nil
}

// Add takes a place for k whether there is one or not, for callers that only count. It
// needs one Release.
func (q *Keyed[K]) Add(k K) {
	s := q.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inUse[k]++
}

// Check returns what Acquire would at this moment, and takes nothing.
func (q *Keyed[K]) Check(k K, now time.Duration) error {
	s := q.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.Max > 0 && s.inUse[k] >= q.Max {
		return &ErrLimit{}
	}
	if wait := s.wait(q.Rate, k, now, 1); wait > 0 {
		return &ErrLimit{RetryAfter: wait}
	}
	return nil
}

// Release gives back a place of k that Acquire took.
func (q *Keyed[K]) Release(k K) {
	s := q.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch n := s.inUse[k]; n {
	case 0:
	case 1:
		delete(s.inUse, k)
	default:
		s.inUse[k] = n - 1
	}
}

// AllowN takes n of k's tokens and reports true, or takes none and reports false.
func (q *Keyed[K]) AllowN(k K, now time.Duration, n int) bool {
	if q.Rate.Unlimited() {
		return true
	}
	s := q.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.allow(q.Rate, k, now, n)
}

// DelayN takes n of k's tokens whether they are there or not, and returns how long
// the caller has to wait until they would have been. So callers that share a key get
// their turns in the order in which they asked.
func (q *Keyed[K]) DelayN(k K, now time.Duration, n int) time.Duration {
	if q.Rate.Unlimited() {
		return 0
	}
	s := q.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(q.Rate, now)
	b := s.buckets[k]
	wait := b.DelayN(q.Rate, now, n)
	s.buckets[k] = b
	return wait
}

// WaitN takes nothing, and returns how long it will be until AllowN admits n of k.
func (q *Keyed[K]) WaitN(k K, now time.Duration, n int) time.Duration {
	if q.Rate.Unlimited() {
		return 0
	}
	s := q.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wait(q.Rate, k, now, n)
}

// CancelN gives back n of k's tokens that were taken and not used, as far as they
// have not been refilled since.
func (q *Keyed[K]) CancelN(k K, now time.Duration, n int) {
	s := q.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if b, ok := s.buckets[k]; ok {
		b.CancelN(q.Rate, now, n)
		s.buckets[k] = b
	}
}

// InUse returns how many places k holds at this moment.
func (q *Keyed[K]) InUse(k K) int {
	s := q.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inUse[k]
}

// Len returns how many keys are remembered. It looks at each of them.
func (q *Keyed[K]) Len() int {
	q.init()
	n := 0
	for i := range q.shards {
		s := &q.shards[i]
		s.mu.Lock()
		n += len(s.buckets)
		for k := range s.inUse {
			if _, both := s.buckets[k]; !both {
				n++
			}
		}
		s.mu.Unlock()
	}
	return n
}

// Sweep forgets the keys at rest in one of 64 parts of the table, and gives the
// memory of a table that has become much too large back. Acquire, AllowN and DelayN
// sweep as they go; a caller that may not use them for long calls Sweep now and then, say
// every second.
func (q *Keyed[K]) Sweep(now time.Duration) {
	q.init()
	s := &q.shards[q.swept.Add(1)%keyedShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.untried = 0
	s.sweep(q.Rate, now)
}

func (q *Keyed[K]) shard(k K) *keyedShard[K] {
	q.init()
	return &q.shards[maphash.Comparable(q.seed, k)%keyedShards]
}

func (q *Keyed[K]) init() {
	q.once.Do(func() {
		q.seed = maphash.MakeSeed()
		for i := range q.shards {
			q.shards[i].inUse = make(map[K]int)
			q.shards[i].buckets = make(map[K]Bucket)
		}
	})
}

func (s *keyedShard[K]) allow(rate Rate, k K, now time.Duration, n int) bool {
	if rate.Unlimited() {
		return true
	}
	s.sweep(rate, now)
	b := s.buckets[k]
	if !b.AllowN(rate, now, n) {
		return false
	}
	s.buckets[k] = b
	return true
}

func (s *keyedShard[K]) wait(rate Rate, k K, now time.Duration, n int) time.Duration {
	b := s.buckets[k]
	return b.WaitN(rate, now, n)
}

// sweep drops the buckets that are full, once in as many calls as there are buckets:
// its price per call is constant.
func (s *keyedShard[K]) sweep(rate Rate, now time.Duration) {
	if s.untried--; s.untried >= 0 {
		return
	}
	s.most = max(s.most, len(s.buckets))
	for k, b := range s.buckets {
		if b.isFull(rate, now) {
			delete(s.buckets, k)
		}
	}
	if s.most > keptKeys && len(s.buckets) < s.most/4 { // a map keeps the room it once needed
		buckets := make(map[K]Bucket, len(s.buckets))
		maps.Copy(buckets, s.buckets)
		s.buckets, s.most = buckets, len(buckets)
	}
	s.untried = len(s.buckets)
}

// keptKeys is how many keys a shard always keeps room for.
const keptKeys = 64
