//go:build linux

package server

import (
	"hash/maphash"
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/upgrade"
)

// users are a Server's users, by Identity.Subject, each with a list of its connections, the
// latest first; and what those have of an Identity. A connection's number, session.ident,
// says in which shard it is; 0 is a connection without an Identity, of which nothing is here.
// A user is here also while a request of it is on its way past a limit. Safe for any goroutine.
type users struct {
	srv    *Server
	seed   maphash.Seed
	size   atomic.Int64 // in bytes
	bits   int          // of a number that say in which shard it is
	shards []userShard  // as many as there are loops, or up to twice as many
}

// maxUserShards spread the lock, which is held for a moment when a connection comes and goes.
const maxUserShards = 16

// newUsers returns the users of a server, none. A shard for each loop will do, and each has
// some room to spare.
func newUsers(srv *Server, loops int) *users {
	n := bits.Len(uint(min(loops, maxUserShards) - 1))
	u := &users{srv: srv, seed: maphash.MakeSeed(), bits: n, shards: make([]userShard, 1<<n)}
	for k := range u.shards {
		u.shards[k].seed = u.seed
	}
	return u
}

// enter locks the shard of a connection, and returns its number there.
func (u *users) enter(ident uint32) (*userShard, uint32) {
	t := &u.shards[ident&(1<<u.bits-1)]
	t.mu.Lock()
	return t, ident >> u.bits
}

// shardOf is by other bits of a hash than the index.
func (u *users) shardOf(hash uint64) uint32 { return uint32(hash >> (64 - u.bits)) }

// enterFor locks the shard in which a user is or would be.
func (u *users) enterFor(name string) (t *userShard, hash uint64) {
	hash = maphash.String(u.seed, name)
	t = &u.shards[u.shardOf(hash)]
	t.mu.Lock()
	return t, hash
}

// leave unlocks a shard, whose size was another before something changed.
func (u *users) leave(t *userShard, before int) {
	after := t.size()
	t.mu.Unlock()
	if after != before {
		u.size.Add(int64(after - before))
	}
}

// acquire takes one of most places of a user, 0 for no limit, or returns a
// *limiter.ErrLimit. Each nil needs one release, unless add takes the place over.
func (u *users) acquire(name string, most int) error {
	t, hash := u.enterFor(name)
	defer u.leave(t, t.size())
	if t.isFull(name, hash, most) {
		return &limiter.ErrLimit{}
	}
	var few [128]byte // so many do not need the heap
	t.names.At(t.need(name, hash, appendUser(few[:0], name))).places++
	return nil
}

// check returns what acquire would, and takes nothing.
func (u *users) check(name string, most int) error {
	t, hash := u.enterFor(name)
	defer t.mu.Unlock()
	if t.isFull(name, hash, most) {
		return &limiter.ErrLimit{}
	}
	return nil
}

// release gives back a place.
func (u *users) release(name string) {
	t, hash := u.enterFor(name)
	defer u.leave(t, t.size())
	t.vacate(t.find(name, hash))
}

// add puts a connection in, and returns its number. It has a place already, or takes one
// whatever the limit. scratch is memory for the time of the call.
func (u *users) add(c Conn, id *upgrade.Identity, hasPlace bool, scratch *[]byte) uint32 {
	*scratch = appendDetails(appendUser((*scratch)[:0], id.Subject), id)
	t, hash := u.enterFor(id.Subject)
	defer u.leave(t, t.size())
	i, k := t.need(id.Subject, hash, *scratch), t.conns.Take()
	of := t.names.At(i)
	if !hasPlace {
		of.places++
	}
	loops := u.srv.loops
	*t.conns.At(k) = userConn{
		user: i, next: of.latest, details: t.keep(i, of.latest == 0, *scratch, id),
		at: c.slot*uint32(len(loops)) + uint32(c.loop.ID()),
	}
	if of.latest != 0 {
		t.conns.At(of.latest).prev = k
	}
	of.latest = k
	return k<<u.bits | u.shardOf(hash)
}

// remove takes a connection out; 0 is let pass.
func (u *users) remove(ident uint32) {
	if ident == 0 {
		return
	}
	t, c := u.enter(ident)
	defer u.leave(t, t.size())
	m := *t.conns.At(c)
	if m.prev != 0 {
		t.conns.At(m.prev).next = m.next
	} else {
		t.names.At(m.user).latest = m.next
	}
	if m.next != 0 {
		t.conns.At(m.next).prev = m.prev
	}
	t.drop(m.details)
	t.conns.Put(c)
	t.vacate(m.user)
}

// renew puts another Identity of the same user in the place of a connection's, or returns
// false.
func (u *users) renew(ident uint32, id *upgrade.Identity, scratch *[]byte) bool {
	*scratch = appendDetails(appendUser((*scratch)[:0], id.Subject), id)
	t, c := u.enter(ident)
	defer u.leave(t, t.size())
	m := t.conns.At(c)
	if t.name(m.user) != id.Subject {
		return false
	}
	before := m.details
	m.details = t.keep(m.user, m.next == 0 && m.prev == 0, *scratch, id)
	t.drop(before)
	return true
}

// get returns the Identity of a connection, none for 0.
func (u *users) get(ident uint32) (id identity) {
	if ident == 0 {
		return id
	}
	t, c := u.enter(ident)
	defer t.mu.Unlock()
	m := t.conns.At(c)
	name, details := splitUser(t.names.Bytes(m.user))
	if m.details != 0 {
		details = t.details.Bytes(m.details)
	}
	return identity{name: name, details: details, whole: t.whole[m.details]}
}

// subject returns the user of a connection, "" for 0: clone what is kept.
func (u *users) subject(ident uint32) string {
	if ident == 0 {
		return ""
	}
	t, c := u.enter(ident)
	defer t.mu.Unlock()
	return t.name(t.conns.At(c).user)
}

// expiry returns when the Identity of a connection expires, zero for never.
func (u *users) expiry(ident uint32) time.Time {
	if ident == 0 {
		return time.Time{}
	}
	return readDetails(u.get(ident).details).expiresAt
}

// conns returns the connections of a user that are not about to be closed, the latest first.
func (u *users) conns(name string) (all []Conn) {
	t, hash := u.enterFor(name)
	defer t.mu.Unlock()
	i, n := t.find(name, hash), uint32(len(u.srv.loops))
	if i == 0 {
		return nil
	}
	for k := t.names.At(i).latest; k != 0; k = t.conns.At(k).next {
		at := t.conns.At(k).at
		c := Conn{loop: u.srv.loops[at%n], slot: at / n}
		c.gen = c.loop.Generation(c.slot) // the slot is the connection's as long as it is here
		if c.gen&closeAsked == 0 {
			all = append(all, c)
		}
	}
	return all
}

// len returns how many users and connections are here.
func (u *users) len() (n int) {
	for k := range u.shards {
		t := &u.shards[k]
		t.mu.Lock()
		n += t.index.Len() + t.conns.Len() + t.details.Len() + len(t.whole)
		t.mu.Unlock()
	}
	return n
}
