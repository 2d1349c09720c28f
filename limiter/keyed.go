package limiter

import (
	"fmt"
	"hash/maphash"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// ErrLimit is what Keyed.Acquire answers when a key has had enough. RetryAfter is
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
// Rate. All methods are safe for any goroutine. A key that holds nothing and
// whose bucket is full again is forgotten, so memory follows the keys in use. A
// Keyed must not be copied after its first use.
type Keyed[K comparable] struct {
	Max  int  // places per key at once; zero or less is no limit
	Rate Rate // acquisitions per key; zero is no limit

	once   sync.Once
	seed   maphash.Seed
	swept  atomic.Uint32 // the shard that Sweep looked at last
	shards [keyedShards]keyedShard[K]
}

// keyedShards spreads the lock: with a few loops accepting at once, two of them
// seldom want the same one.
const keyedShards = 64

type keyedShard[K comparable] struct {
	mu      sync.Mutex
	keys    map[K]keyedEntry
	untried int // acquisitions until the next sweep
	most    int // keys there were since the map was made
}

type keyedEntry struct {
	inUse  int
	bucket Bucket
}

// Acquire takes a place for k, or answers an *ErrLimit. Each nil needs one
// Release. now is as for Bucket.
func (q *Keyed[K]) Acquire(k K, now time.Duration) error {
	s := q.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweep(now)
	e := s.keys[k]
	if q.Max > 0 && e.inUse >= q.Max {
		return &ErrLimit{}
	}
	if !e.bucket.AllowN(q.Rate, now, 1) {
		return &ErrLimit{RetryAfter: e.bucket.WaitN(q.Rate, now, 1)}
	}
	e.inUse++
	s.keys[k] = e
	return nil
}

// Check returns what Acquire would at this moment, and takes nothing.
func (q *Keyed[K]) Check(k K, now time.Duration) error {
	s := q.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.keys[k]
	if q.Max > 0 && e.inUse >= q.Max {
		return &ErrLimit{}
	}
	if wait := e.bucket.WaitN(q.Rate, now, 1); wait > 0 {
		return &ErrLimit{RetryAfter: wait}
	}
	return nil
}

// Release gives back a place of k that Acquire took.
func (q *Keyed[K]) Release(k K) {
	s := q.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.keys[k]
	if !ok || e.inUse == 0 {
		return
	}
	e.inUse--
	if e.inUse == 0 && e.bucket == 0 {
		delete(s.keys, k)
		return
	}
	s.keys[k] = e
}

// InUse returns how many places k holds at this moment.
func (q *Keyed[K]) InUse(k K) int {
	s := q.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[k].inUse
}

// Len returns how many keys are remembered.
func (q *Keyed[K]) Len() int {
	q.init()
	n := 0
	for i := range q.shards {
		s := &q.shards[i]
		s.mu.Lock()
		n += len(s.keys)
		s.mu.Unlock()
	}
	return n
}

// Sweep forgets the keys at rest in one of 64 parts of the table, and gives the
// memory of a table that has become much too large back. Acquire sweeps as it
// goes; who may not be called for long calls Sweep now and then, say every second.
func (q *Keyed[K]) Sweep(now time.Duration) {
	q.init()
	s := &q.shards[q.swept.Add(1)%keyedShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.untried = 0
	s.sweep(now)
}

func (q *Keyed[K]) shard(k K) *keyedShard[K] {
	q.init()
	return &q.shards[maphash.Comparable(q.seed, k)%keyedShards]
}

func (q *Keyed[K]) init() {
	q.once.Do(func() {
		q.seed = maphash.MakeSeed()
		for i := range q.shards {
			q.shards[i].keys = make(map[K]keyedEntry)
		}
	})
}

// sweep drops the keys at rest, once in as many acquisitions as there are keys:
// its price per acquisition is constant.
func (s *keyedShard[K]) sweep(now time.Duration) {
	if s.untried--; s.untried >= 0 {
		return
	}
	s.most = max(s.most, len(s.keys))
	for k, e := range s.keys {
		if e.inUse == 0 && e.bucket.Full(now) {
			delete(s.keys, k)
		}
	}
	if s.most > keptKeys && len(s.keys) < s.most/4 { // a map keeps the room it once needed
		keys := make(map[K]keyedEntry, len(s.keys))
		maps.Copy(keys, s.keys)
		s.keys, s.most = keys, len(keys)
	}
	s.untried = len(s.keys)
}

// keptKeys is how many keys a shard always keeps room for.
const keptKeys = 64
