package limiter

import (
	"fmt"
	"hash/maphash"
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
// full again is forgotten, so memory follows the keys in use: under 25 MB for a million that
// took tokens, whatever they are, and as much for places. So many have buckets at most: whoever
// commands more keys than that is not held by limits of each, and a new one takes the place
// of one that chance decides, whose bucket is full again then. A Keyed must not be copied after
// its first use.
//
// It keeps no keys but hashes of 64 bits, by a random seed of its own that nobody is told.
// Two keys with one hash share a limit: of a million keys, the chance that there are such
// two is 1 in 37 million, and as nobody can know them, nobody can choose a key to share
// another's. A pointer in a key, as in the zone of a netip.Addr, is hashed as an address in
// memory: hold on to what it points to while the limit is to last.
type Keyed[K comparable] struct {
	// Not to be changed once the Keyed is in use; for the Rate there is SetRate.
	Max  int  // places per key at once; zero or less is no limit
	Rate Rate // of each key; zero is no limit

	once    sync.Once
	seed    maphash.Seed
	swept   atomic.Uint32        // the shard that Sweep looked at last
	setting sync.Mutex           // one SetRate after the other
	latest  atomic.Pointer[Rate] // of SetRate; a shard may not have it yet
	shards  [keyedShards]keyedShard
}

// keyedShards spreads the lock: with a few loops accepting at once, two of them
// seldom want the same one.
const keyedShards = 64

// maxBuckets is how many buckets one of them has at most: a million, all together.
const maxBuckets = 1 << 20 / keyedShards

// keyedShard keeps what it knows of a key in two tables, as most keys are in one of
// them.
type keyedShard struct {
	mu      sync.Mutex
	inUse   table // places taken
	buckets table // Buckets
	untried int   // calls until the next sweep
	rate    *Rate // by which they are; nil: Keyed.Rate
}

// Acquire takes a place for k, or returns an *ErrLimit. Each nil needs one
// Release. now is as for Bucket.
func (q *Keyed[K]) Acquire(k K, now time.Duration) error {
	s, h := q.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.Max > 0 && s.inUse.get(h) >= uint64(q.Max) {
		return &ErrLimit{}
	}
	if rate := q.rateIn(s); !s.allow(rate, h, now, 1) {
		return &ErrLimit{RetryAfter: s.wait(rate, h, now, 1)}
	}
	s.inUse.put(h, s.inUse.get(h)+1)
	return nil
}

// AcquireUpTo takes a place for k and reports true, unless k has most of them already; zero or
// less is no limit. It is for callers whose limit changes: Max and Rate do not count. Each true
// needs one Release.
func (q *Keyed[K]) AcquireUpTo(k K, most int) bool {
	s, h := q.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.inUse.get(h)
	if most > 0 && n >= uint64(most) {
		return false
	}
	s.inUse.put(h, n+1)
	return true
}

// Add takes a place for k whether there is one or not, for callers that only count. It
// needs one Release.
func (q *Keyed[K]) Add(k K) {
	s, h := q.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inUse.put(h, s.inUse.get(h)+1)
}

// Check returns what Acquire would at this moment, and takes nothing.
func (q *Keyed[K]) Check(k K, now time.Duration) error {
	s, h := q.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.Max > 0 && s.inUse.get(h) >= uint64(q.Max) {
		return &ErrLimit{}
	}
	if wait := s.wait(q.rateIn(s), h, now, 1); wait > 0 {
		return &ErrLimit{RetryAfter: wait}
	}
	return nil
}

// Release gives back a place of k that Acquire took.
func (q *Keyed[K]) Release(k K) {
	s, h := q.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.inUse.get(h); n > 0 {
		s.inUse.put(h, n-1)
	}
}

// AllowN takes n of k's tokens and reports true, or takes none and reports false.
func (q *Keyed[K]) AllowN(k K, now time.Duration, n int) bool {
	if q.isUnlimited() {
		return true
	}
	s, h := q.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.allow(q.rateIn(s), h, now, n)
}

// DelayN takes n of k's tokens whether they are there or not, and returns how long
// the caller has to wait until they would have been. So callers that share a key get
// their turns in the order in which they asked.
func (q *Keyed[K]) DelayN(k K, now time.Duration, n int) time.Duration {
	if q.isUnlimited() {
		return 0
	}
	s, h := q.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	rate := q.rateIn(s)
	s.sweep(rate, now)
	b := Bucket(s.buckets.get(h))
	wait := b.DelayN(rate, now, n)
	s.keep(h, b)
	return wait
}

// WaitN takes nothing, and returns how long it will be until AllowN admits n of k.
func (q *Keyed[K]) WaitN(k K, now time.Duration, n int) time.Duration {
	if q.isUnlimited() {
		return 0
	}
	s, h := q.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wait(q.rateIn(s), h, now, n)
}

// CancelN gives back n of k's tokens that were taken and not used, as far as they
// have not been refilled since.
func (q *Keyed[K]) CancelN(k K, now time.Duration, n int) {
	s, h := q.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	b := Bucket(s.buckets.get(h))
	b.CancelN(q.rateIn(s), now, n)
	s.keep(h, b)
}

// SetRate limits each key to another rate from now on; what it has used stays used, as by
// Bucket.Change. It takes one lock after the other, each for as long as it takes to look at a
// 64th of the keys. Safe for any goroutine.
func (q *Keyed[K]) SetRate(rate Rate, now time.Duration) {
	q.setting.Lock()
	defer q.setting.Unlock()
	q.latest.Store(&rate)
	for i := range q.shards {
		s := &q.shards[i]
		s.mu.Lock()
		before := q.rateIn(s)
		s.rate = &rate
		s.buckets.replace(func(b uint64) uint64 {
			(*Bucket)(&b).Change(before, rate, now)
			return b
		})
		s.mu.Unlock()
	}
}

// InUse returns how many places k holds at this moment.
func (q *Keyed[K]) InUse(k K) int {
	s, h := q.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.inUse.get(h))
}

// Len returns how many keys are remembered. It looks at each of them.
func (q *Keyed[K]) Len() int {
	n := 0
	for i := range q.shards {
		s := &q.shards[i]
		s.mu.Lock()
		n += int(s.buckets.n)
		for i := range s.inUse.n {
			if c, k := s.inUse.at(i + 1); s.buckets.get(c.hash[k]) == 0 {
				n++
			}
		}
		s.mu.Unlock()
	}
	return n
}

// Size returns about how many bytes of memory the keys take.
func (q *Keyed[K]) Size() (n int) {
	for i := range q.shards {
		s := &q.shards[i]
		s.mu.Lock()
		n += s.inUse.size() + s.buckets.size()
		s.mu.Unlock()
	}
	return n
}

// Sweep forgets the keys at rest in one of 64 parts of the table. Acquire, AllowN and DelayN
// sweep as they go; a caller that may not use them for long calls Sweep now and then, say
// every second.
func (q *Keyed[K]) Sweep(now time.Duration) {
	s := &q.shards[q.swept.Add(1)%keyedShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.untried = 0
	s.sweep(q.rateIn(s), now)
}

// rateIn returns the rate by which the buckets of a shard are. Its lock is held.
func (q *Keyed[K]) rateIn(s *keyedShard) Rate {
	if s.rate != nil {
		return *s.rate
	}
	return q.Rate
}

// isUnlimited reports whether there is no rate, without a lock.
func (q *Keyed[K]) isUnlimited() bool {
	if rate := q.latest.Load(); rate != nil {
		return rate.Unlimited()
	}
	return q.Rate.Unlimited()
}

// shard returns the part of the table that k is in, and k's hash.
func (q *Keyed[K]) shard(k K) (*keyedShard, uint64) {
	q.once.Do(func() { q.seed = maphash.MakeSeed() })
	h := maphash.Comparable(q.seed, k)
	return &q.shards[h%keyedShards], h
}

func (s *keyedShard) allow(rate Rate, h uint64, now time.Duration, n int) bool {
	if rate.Unlimited() {
		return true
	}
	s.sweep(rate, now)
	b := Bucket(s.buckets.get(h))
	if !b.AllowN(rate, now, n) {
		return false
	}
	s.keep(h, b)
	return true
}

// keep notes a bucket, in the place of another if there are too many.
func (s *keyedShard) keep(h uint64, b Bucket) {
	if s.buckets.n >= maxBuckets && s.buckets.find(h) == 0 {
		s.buckets.remove(1 + uint32(h>>8)%s.buckets.n)
	}
	s.buckets.put(h, uint64(b))
}

func (s *keyedShard) wait(rate Rate, h uint64, now time.Duration, n int) time.Duration {
	b := Bucket(s.buckets.get(h))
	return b.WaitN(rate, now, n)
}

// sweep drops the buckets that are full, once in as many calls as there are buckets:
// its price per call is constant.
func (s *keyedShard) sweep(rate Rate, now time.Duration) {
	if s.untried--; s.untried >= 0 {
		return
	}
	s.buckets.sweep(func(b uint64) bool { return (*Bucket)(&b).isFull(rate, now) })
	s.untried = int(s.buckets.n)
}
