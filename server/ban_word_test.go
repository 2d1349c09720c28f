//go:build linux

package server

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestKeepBan: of two words about a user the later one counts, in whatever order they come, until the
// ban would have ended.
func TestKeepBan(t *testing.T) {
	now := time.Now()
	in := func(d time.Duration) time.Time { return now.Add(d) }
	said := func(d time.Duration) time.Time { return now.Add(d - time.Hour) }
	ban := func(said, until time.Time) Ban { return Ban{"alice", until, said, false} }
	lift := func(said, until time.Time) Ban { return Ban{"alice", until, said, true} }
	for _, c := range []struct {
		name  string
		words []Ban
		want  time.Time // banned until; zero if not
		known bool
	}{
		{"a ban", []Ban{ban(said(1), in(time.Hour))}, in(time.Hour), true},
		{"and lifted", []Ban{ban(said(1), in(time.Hour)), lift(said(2), in(time.Hour))}, time.Time{}, true},
		{"lifted before it comes", []Ban{lift(said(2), in(time.Hour)), ban(said(1), in(time.Hour))}, time.Time{}, true},
		{"banned again", []Ban{lift(said(2), in(time.Hour)), ban(said(1), in(time.Hour)), ban(said(3), in(time.Minute))}, in(time.Minute), true},
		{"lifted by a node that does not know its end", []Ban{ban(said(1), in(time.Hour)), lift(said(2), time.Time{})}, time.Time{}, true},
		{"two bans, the later one shorter", []Ban{ban(said(2), in(time.Minute)), ban(said(1), in(time.Hour))}, in(time.Minute), true},
		{"the same word", []Ban{lift(said(1), in(time.Hour)), ban(said(1), in(time.Hour))}, time.Time{}, true},
		{"a later one that has ended", []Ban{ban(said(1), in(time.Hour)), ban(said(2), in(-time.Hour))}, time.Time{}, true},
		{"it has ended", []Ban{ban(said(1), in(-time.Hour))}, time.Time{}, false},
		{"nobody knows when", []Ban{ban(time.Time{}, in(time.Hour))}, in(time.Hour), true},
		{"nobody knows when, and somebody does", []Ban{lift(said(1), in(time.Hour)), ban(time.Time{}, in(time.Hour))}, time.Time{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := new(Server)
			for _, w := range c.words {
				if err := s.KeepBan(w); err != nil {
					t.Error(err)
				}
			}
			last, known := s.LastBan("alice")
			all := s.AllBans()
			if known != c.known || known && last.Lifted != c.want.IsZero() || known != (len(all) == 1) || known && all[0] != last {
				t.Errorf("the last word is %+v, %v, of %v", last, known, all)
			}
			switch got := s.Bans(); {
			case c.want.IsZero() && len(got) > 0, !c.want.IsZero() && (len(got) != 1 || !got[0].Until.Equal(c.want)):
				t.Errorf("got %v, want a ban until %v", got, c.want)
			}
			if c.known { // a word of its own is the latest, however the clocks go
				if err := s.Ban("alice", in(2*time.Hour)); err != nil || len(s.Bans()) != 1 || !s.Unban("alice") || len(s.Bans()) != 0 {
					t.Errorf("%v: %v", err, s.Bans())
				}
			}
		})
	}
	if err := new(Server).KeepBan(Ban{Until: in(time.Hour)}); err == nil {
		t.Error("nobody is banned")
	}
}

// TestPartedBans: whatever servers ban and lift while they do not hear of each other, in the end each
// has the last word about each user.
func TestPartedBans(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 3))
		var all [4]Server
		tell := func(to, from *Server) {
			words := from.AllBans()
			rng.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
			for _, w := range words {
				if err := to.KeepBan(w); err != nil {
					t.Fatal(err)
				}
			}
		}
		last := make(map[string]Ban)
		for range 200 {
			s, user := &all[rng.IntN(len(all))], fmt.Sprint("user ", rng.IntN(5))
			switch rng.IntN(4) {
			case 0:
				tell(s, &all[rng.IntN(len(all))])
				continue
			case 1:
				s.Unban(user)
			default:
				if err := s.Ban(user, time.Now().Add(time.Duration(1+rng.IntN(9))*time.Hour)); err != nil {
					t.Fatal(err)
				}
			}
			if w, ok := s.LastBan(user); ok && w.Said.After(last[user].Said) {
				last[user] = w
			}
		}
		for range all { // in a ring, as often as there are
			for k := range all {
				tell(&all[(k+1)%len(all)], &all[k])
			}
		}
		for user, want := range last {
			for k := range all {
				if got, ok := all[k].LastBan(user); !ok || got.Lifted != want.Lifted || !want.Lifted && !got.Until.Equal(want.Until) {
					t.Fatalf("seed %d: server %d has %+v of %s, want %+v", seed, k, got, user, want)
				}
			}
		}
	}
}

// What was lifted makes room for bans, and goes with the end of the ban.
func TestLiftedBansAreBounded(t *testing.T) {
	const most = 10 * (banCost + 2)
	now := time.Now()
	var b bans
	name := func(k int) string { return fmt.Sprintf("%02d", k) }
	for k := range 10 {
		if err := b.set(name(k), now.Add(time.Hour), now, most); err != nil {
			t.Fatal(err)
		}
	}
	for k := range 5 {
		b.end(name(k), now)
	}
	if n := b.size.Load(); n != most || len(b.of) != 5 || len(b.lifted) != 5 {
		t.Errorf("%d bytes with %d bans and %d lifted", n, len(b.of), len(b.lifted))
	}
	if err := b.keep(Ban{"more", now.Add(time.Hour), now, true}, now, most); err != nil {
		t.Error(err)
	}
	for k := range 5 {
		if err := b.set(name(50+k), now.Add(time.Hour), now, most); err != nil {
			t.Errorf("%d: %v", k, err)
		}
	}
	if err := b.set("99", now.Add(time.Hour), now, most); err != ErrTooManyBans || len(b.of) != 10 || b.lifted != nil {
		t.Errorf("%v with %d bans and %d lifted", err, len(b.of), len(b.lifted))
	}
	b.end(name(50), now)
	for b.size.Load() > 0 {
		b.tidy(now.Add(time.Hour))
	}
	if b.of != nil || b.lifted != nil {
		t.Errorf("%d bans and %d lifted are left", len(b.of), len(b.lifted))
	}
}
