package upgrade

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

const (
	// cacheSets times cacheWays tokens are remembered: 4,096, in a table of
	// 32 KiB that a token has four places in.
	cacheSets = 1024
	cacheWays = 4

	// maxCached is the longest token that is remembered, so that the table and
	// what it holds stay under some 20 MiB whatever is signed for us.
	maxCached = 4 << 10
)

// cacheSeed makes what tokens share a set unknowable from outside.
var cacheSeed = maphash.MakeSeed()

// tokenCache remembers tokens that were verified. It takes no lock: an entry is
// never changed, and a place holds it or it does not. Losing one to a race costs
// a verification. Its zero value is empty.
type tokenCache struct {
	sets [cacheSets][cacheWays]atomic.Pointer[verified]
}

// verified is a token that was good.
type verified struct {
	hash  uint64
	token string
	keys  *KeySet // by which it was; other keys know nothing of it
	id    *Identity
}

// IsSlow is Verification's.
func (e *verified) IsSlow() bool { return false }

// Verify is Verification's.
func (e *verified) Verify(now time.Time) (*Identity, error) {
	if !now.Before(e.id.ExpiresAt) {
		return nil, ErrTokenExpired
	}
	return e.id, nil
}

// Wait is Verification's.
func (e *verified) Wait(_ context.Context, now time.Time) (*Identity, error) { return e.Verify(now) }

// counts reports whether the entry still says anything.
func (e *verified) counts(keys *KeySet, now time.Time) bool {
	return e.keys == keys && now.Before(e.id.ExpiresAt)
}

// find returns what is known of the token, or nil. It allocates nothing.
func (c *tokenCache) find(token []byte, keys *KeySet, now time.Time) *verified {
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

// keep remembers a token, in place of one that does not count any more, or of any.
func (c *tokenCache) keep(token string, keys *KeySet, id *Identity, now time.Time) {
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
