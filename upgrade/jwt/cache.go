package jwt

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

const (
	// cacheSets times cacheWays tokens are remembered: 4,096, in a table of
	// 32 KiB in which each token has four possible places.
	cacheSets = 1024
	cacheWays = 4

	// maxCached is the length of the longest token that is remembered, so that the table
	// and its tokens stay below about 20 MiB, whatever is signed for us.
	maxCached = 4 << 10
)

// cacheSeed keeps others from working out which tokens share a set.
var cacheSeed = maphash.MakeSeed()

// cache remembers tokens that were found good. It takes no lock: an entry never changes,
// and a place either holds it or does not. Losing one to a race costs one verification.
// The zero value is empty.
type cache struct {
	sets [cacheSets][cacheWays]atomic.Pointer[verified]
}

// verified is a token that was found good: the Verification of a token that is known.
type verified struct {
	hash  uint64
	token string
	keys  *KeySet // by which it was found good; with others the entry does not count
	id    *upgrade.Identity
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
	if len(token) > maxCached {
		return nil
	}
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
// any.
func (c *cache) keep(token string, keys *KeySet, id *upgrade.Identity, now time.Time) {
	if len(token) > maxCached {
		return
	}
	entry := &verified{hash: maphash.String(cacheSeed, token), token: token, keys: keys, id: id}
	set := &c.sets[entry.hash%cacheSets]
	at := rand.IntN(cacheWays)
	for i := range set {
		if e := set[i].Load(); e == nil || !e.counts(keys, now) {
			at = i
			break
		}
	}
	set[at].Store(entry)
}
