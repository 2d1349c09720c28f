//go:build linux

package server

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// This file is how servers come to one view of who is banned, if some of them do not hear of each
// other for a while: each word has its time, and the later one counts.

// KeepBan does what another server has done, unless there is a later word about the user here: a
// Ban, or an Unban if it was lifted. It is for programs that bring servers together. The errors are
// Ban's. Safe for any goroutine.
func (s *Server) KeepBan(b Ban) error {
	if b.User == "" {
		return errBanNobody
	}
	most := cmp.Or(s.maxBuffered(), defaultMaxBuffered) / banShare
	return s.bans.keep(b, time.Now(), most)
}

// LastBan returns the last word about a user, false if there is none any more: behind the end of the
// ban nothing is known. Safe for any goroutine.
func (s *Server) LastBan(user string) (Ban, bool) { return s.bans.last(user, time.Now()) }

// AllBans returns the users that are banned, and those whose ban was lifted before its end, as far
// as there was room for these, sorted. Safe for any goroutine.
func (s *Server) AllBans() []Ban {
	all := s.bans.all(time.Now())
	slices.SortFunc(all, func(a, b Ban) int { return strings.Compare(a.User, b.User) })
	return all
}

// word is the last one about a user.
type word struct {
	until time.Time // when it is of no account any more: the ban's end
	said  int64     // in nanoseconds since 1970
}

func (w word) ban(user string, lifted bool) Ban {
	return Ban{user, w.until, time.Unix(0, w.said), lifted}
}

// next returns a time that is later than the last word about a user. It is called under mu, as are
// put, drop and evict.
func (b *bans) next(user string, now time.Time) int64 {
	return max(now.UnixNano(), max(b.of[user].said, b.lifted[user].said)+1)
}

// keep is put of what another server has said.
func (b *bans) keep(one Ban, now time.Time, most int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := word{one.Until, 1}
	if !one.Said.IsZero() { // else it is the first word, if anybody has said another
		w.said = one.Said.UnixNano()
	}
	return b.put(strings.Clone(one.User), w, one.Lifted, now, most)
}

// put notes a word about a user, unless it is older than the last, if all of them take at most so
// many bytes then. What is lifted makes room for bans.
func (b *bans) put(user string, w word, lifted bool, now time.Time, most int) error {
	last, isBanned := b.of[user]
	if !isBanned {
		last = b.lifted[user]
	}
	if w.said <= last.said {
		return nil
	}
	if !now.Before(w.until) {
		lifted = true // a ban that has ended takes the place of a longer one
	}
	if lifted && w.until.Before(last.until) {
		w.until = last.until
	}
	b.drop(user)
	switch {
	case !now.Before(w.until):
		return nil
	case !isBanned && !b.makeRoom(user, now, most) && lifted:
	case !isBanned && !b.hasRoom(user, most):
		return ErrTooManyBans
	case lifted:
		b.insert(&b.lifted, user, w)
	default:
		b.insert(&b.of, user, w)
	}
	return nil
}

// makeRoom makes room for a user, if it can, and reports whether there is.
func (b *bans) makeRoom(user string, now time.Time, most int) bool {
	if !b.hasRoom(user, most) {
		b.sweep(now)
	}
	for other := range b.lifted {
		if b.hasRoom(user, most) {
			break
		}
		b.drop(other)
	}
	return b.hasRoom(user, most)
}

func (b *bans) insert(in *map[string]word, user string, w word) {
	if *in == nil {
		*in = make(map[string]word)
	}
	(*in)[user] = w
	b.size.Add(int64(len(user) + banCost))
}

// drop forgets the word about a user.
func (b *bans) drop(user string) {
	for _, in := range []*map[string]word{&b.of, &b.lifted} {
		if _, ok := (*in)[user]; !ok {
			continue
		}
		b.size.Add(-int64(len(user) + banCost))
		if delete(*in, user); len(*in) == 0 {
			*in = nil // the map would keep its memory
		}
	}
}

func (b *bans) last(user string, now time.Time) (Ban, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	w, isBanned := b.of[user]
	if !isBanned {
		w = b.lifted[user]
	}
	return w.ban(user, !isBanned), now.Before(w.until)
}

// all returns the words that still count.
func (b *bans) all(now time.Time) []Ban {
	all := b.now(now)
	b.mu.RLock()
	defer b.mu.RUnlock()
	for user, w := range b.lifted {
		if now.Before(w.until) {
			all = append(all, w.ban(user, true))
		}
	}
	return all
}
