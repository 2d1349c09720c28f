package jwt

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/usher-ws/usher/upgrade"
)

const (
	// cacheSets times cacheWays is how many tokens are remembered with their Identity at
	// most: 256, in a table of 2 KiB in which each token has four possible places.
	cacheSets = 64
	cacheWays = 4

	// cacheBytes is what they may take together, whatever is signed for us, and maxCached
	// what one of them may. A token with four claims takes 1 KiB, in two dozen objects.
	cacheBytes = 256 << 10
	maxCached  = 16 << 10
)

// cacheSeed keeps others from working out which tokens share a set.
var cacheSeed = maphash.MakeSeed()

// cache remembers tokens that were found good and have come again, with their Identity: what
// comes once is only among those seen. An audience with a token each would leave two dozen
// small objects of some of them between all that was garbage at once, and each would keep the
// memory around it from being given back. To find one takes no lock: an entry never changes,
// and a place either holds it or does not. The zero value is empty.
type cache struct {
	sets [cacheSets][cacheWays]atomic.Pointer[verified]

	mu   sync.Mutex // of those that change something
	size int        // of all entries
	hand int        // where to go on to make room
}

// verified is a token that was found good: the Verification of a token that is known.
type verified struct {
	hash  uint64
	token string
	keys  *KeySet // by which it was found good; with others the entry does not count
	id    *upgrade.Identity
	size  int // in bytes, with all that it holds
}

// IsSlow is upgrade.Verification's.
func (e *verified) IsSlow() bool { return false }

// Verify is upgrade.Verification's.
func (e *verified) Verify(now time.Time) (*upgrade.Identity, error) {
	if !now.Before(e.id.ExpiresAt) {
		return nil, upgrade.ErrTokenExpired
	}
	return e.id, nil
}

// Wait is upgrade.Verification's.
func (e *verified) Wait(_ context.Context, now time.Time) (*upgrade.Identity, error) {
	return e.Verify(now)
}

// counts reports whether the entry still says that its token is good.
func (e *verified) counts(keys *KeySet, now time.Time) bool {
	return e.keys == keys && now.Before(e.id.ExpiresAt)
}

// find returns what is known of the token, or nil. It allocates nothing.
func (c *cache) find(token []byte, keys *KeySet, now time.Time) *verified {
	hash := maphash.Bytes(cacheSeed, token)
	set := &c.sets[hash%cacheSets]
	for i := range set {
		e := set[i].Load()
		if e != nil && e.hash == hash && e.token == string(token) && e.counts(keys, now) {
			return e
		}
	}
	return nil
}

// keep remembers a token. It takes the place of one that no longer counts, or else of
// any; and others go, one after the other, if all together have become too large.
func (c *cache) keep(token string, keys *KeySet, id *upgrade.Identity, now time.Time) {
	entry := &verified{hash: maphash.String(cacheSeed, token), token: token, keys: keys, id: id}
	if entry.size = entry.weigh(); entry.size > maxCached {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	set := &c.sets[entry.hash%cacheSets]
	at := rand.IntN(cacheWays)
	for i := range set {
		if e := set[i].Load(); e == nil || !e.counts(keys, now) {
			at = i
			break
		}
	}
	c.put(&set[at], entry)
	for ; c.size > cacheBytes; c.hand++ {
		if place := &c.sets[c.hand/cacheWays%cacheSets][c.hand%cacheWays]; place != &set[at] {
			c.put(place, nil)
		}
	}
}

// put sets what is at a place.
func (c *cache) put(place *atomic.Pointer[verified], entry *verified) {
	if entry != nil {
		c.size += entry.size
	}
	if before := place.Swap(entry); before != nil {
		c.size -= before.size
	}
}

// weigh returns about how many bytes of the heap an entry takes.
func (e *verified) weigh() int {
	return int(unsafe.Sizeof(*e)+unsafe.Sizeof(*e.id)) + len(e.token) + len(e.id.Subject) + len(e.id.ClaimsText()) + weigh(e.id.Claims)
}

// weigh returns about how many bytes of the heap a value that encoding/json has made takes,
// beside the interface that it is in. Maps have groups of eight members, which are full to
// two thirds.
func weigh(v any) int {
	const word = 8
	switch v := v.(type) {
	case string:
		return 2*word + len(v)
	case float64:
		return word
	case []any:
		n := 3*word + 2*word*cap(v)
		for _, element := range v {
			n += weigh(element)
		}
		return n
	case map[string]any:
		groups := (len(v) + 7) / 8
		if groups > 1 {
			groups += groups / 2
		}
		n := 6*word + groups*(word+8*4*word)
		for name, value := range v {
			n += len(name) + weigh(value)
		}
		return n
	}
	return 0
}
