//go:build linux

package server

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

// MaxBans is how many users a Server can ban at once.
const MaxBans = 100_000

const (
	// banShare is which part of MaxBuffered the bans may take.
	banShare = 16

	// sweptAtOnce is how many bans are looked at to find those that are over: 10 µs, for which a
	// loop may have to wait.
	sweptAtOnce = 256

	// banCost is about what a ban takes beside the user's name, its place in a map included.
	banCost = 112
)

// ErrTooManyBans is what Ban answers when MaxBans users are banned, or when their names take a
// sixteenth of MaxBuffered.
var ErrTooManyBans = errors.New("server: too many users are banned")

var errBanNobody = errors.New("server: Ban was called without a user")

// errBanned has no Retry-After: a 403 says that coming back does not help.
var errBanned = upgrade.Reject(http.StatusForbidden, upgrade.CodeBanned, "This user may not come in for now.")

// Ban is a user that may not come in until a time, or might not, and was let in again.
type Ban struct {
	User   string // Identity.Subject
	Until  time.Time
	Said   time.Time // when: of two words about a user the later one counts
	Lifted bool      // the user was let in again then
}

// Ban refuses the upgrades of a user, by Identity.Subject, with 403 banned until a time: on all
// routes, whatever the token. Another Ban of the same user takes its place; one whose time has
// passed is an Unban. The connections that the user has stay: CloseUser, called after Ban, closes
// them, and then none is left, also of those that were about to open. The bans end with the
// Server. The errors are ErrTooManyBans, and one for a user without a name. It may be called
// before Start, too. Safe for any goroutine.
func (s *Server) Ban(user string, until time.Time) error {
	if user == "" {
		return errBanNobody
	}
	most := cmp.Or(s.maxBuffered(), defaultMaxBuffered) / banShare
	return s.bans.set(strings.Clone(user), until, time.Now(), most)
}

// Unban lets a user in again, and reports whether it was banned. When that was is known until the
// ban would have ended, as long as there is room for it: see KeepBan. Safe for any goroutine.
func (s *Server) Unban(user string) bool { return s.bans.end(user, time.Now()) }

// Bans returns the users that are banned, sorted. Safe for any goroutine.
func (s *Server) Bans() []Ban {
	all := s.bans.now(time.Now())
	slices.SortFunc(all, func(a, b Ban) int { return cmp.Compare(a.User, b.User) })
	return all
}

// NotBanned returns the guard that refuses users that are banned, and probes of theirs: row 9b of
// docs/CODES.md. It belongs behind what says who the user is, as upgrade.Bearer does, and before
// what judges rooms. Users that only Authorize names, and those of routes without this guard, are
// refused when that has let them in, so the guard is for the order. It may be a guard of any
// Policy, of this Server's or another's.
func (s *Server) NotBanned() upgrade.Guard {
	return upgrade.Guard{Name: "not-banned", OnBeforeUpgrade: func(r *upgrade.Request) (http.Header, error) {
		return nil, s.bans.judge(r.Identity)
	}}
}

// bans are the users that may not come in. Safe for any goroutine.
type bans struct {
	size atomic.Int64 // in bytes; 0 for none, so that servers without bans pay nothing

	mu     sync.RWMutex
	of     map[string]word // some may be over
	lifted map[string]word // of users that are in no other
}

// judge returns errBanned for an Identity whose user is banned. nil is nobody.
func (b *bans) judge(id *upgrade.Identity) error {
	if b.size.Load() == 0 || id == nil {
		return nil
	}
	b.mu.RLock()
	w, ok := b.of[id.Subject]
	b.mu.RUnlock()
	if ok && time.Now().Before(w.until) {
		return errBanned
	}
	return nil
}

// set bans a user, if all bans take at most so many bytes then.
func (b *bans) set(user string, until, now time.Time, most int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.put(user, word{until, b.next(user, now)}, false, now, most)
}

func (b *bans) hasRoom(user string, most int) bool {
	return len(b.of)+len(b.lifted) < MaxBans && int(b.size.Load())+len(user)+banCost <= most
}

// end ends the ban of a user, and reports whether there was one.
func (b *bans) end(user string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	w, ok := b.of[user]
	if ok {
		_ = b.put(user, word{w.until, b.next(user, now)}, true, now, 0) // it takes the place that the ban had
	}
	return ok && now.Before(w.until)
}

// now returns the bans that are not over.
func (b *bans) now(now time.Time) []Ban {
	b.mu.RLock()
	defer b.mu.RUnlock()
	all := make([]Ban, 0, len(b.of))
	for user, w := range b.of {
		if now.Before(w.until) {
			all = append(all, w.ban(user, false))
		}
	}
	return all
}

// tidy forgets some of the bans that are over.
func (b *bans) tidy(now time.Time) {
	if b.size.Load() == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweep(now)
}

// sweep looks at a few, which differ from call to call: the more are over, the more it finds.
func (b *bans) sweep(now time.Time) {
	looked := 0
	for _, in := range []map[string]word{b.of, b.lifted} {
		for user, w := range in {
			if !now.Before(w.until) {
				b.drop(user)
			}
			if looked++; looked == sweptAtOnce {
				return
			}
		}
	}
}
