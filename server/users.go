//go:build linux

package server

import (
	"bytes"
	"hash/maphash"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/usher-ws/usher/internal/compact"
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

// userShard are some of the users. Of its tables only whole holds pointers.
type userShard struct {
	mu      sync.Mutex
	seed    maphash.Seed
	names   compact.Strings[user]
	index   compact.Index // of names
	conns   compact.Slab[userConn]
	details compact.Strings[uint32]      // of identity.details, each with how many connections share it
	whole   map[uint32]*upgrade.Identity // by their numbers in details
	text    int                          // bytes of the strings in names and details
}

// user is beside its name.
type user struct {
	link   uint32 // of the index
	latest uint32 // of its connections
	places uint32 // that its connections have, and requests of it that are on their way
}

// userConn is a connection of a user: 20 bytes.
type userConn struct {
	user, details uint32
	next, prev    uint32 // in the user's list
	at            uint32 // its slot times the number of loops, and its loop
}

// Hash is compact.Chained's.
func (t *userShard) Hash(i uint32) uint64 { return maphash.Bytes(t.seed, t.names.Bytes(i)) }

// Link is compact.Chained's.
func (t *userShard) Link(i uint32) *uint32 { return &t.names.At(i).link }

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

// size is what is in the tables. They have a little more room: that of a table of three users
// would be most of a small budget.
func (t *userShard) size() int {
	const userSize, connSize, detailsSize = 9 + 4 + int(unsafe.Sizeof(user{})), int(unsafe.Sizeof(userConn{})), 9 + 4
	const wholeSize = 32 + int(unsafe.Sizeof(upgrade.Identity{}))
	return t.text + t.names.Len()*userSize + t.conns.Len()*connSize + t.details.Len()*detailsSize + len(t.whole)*wholeSize
}

// find returns the number of a user, 0 if it is not here.
func (t *userShard) find(name string, hash uint64) uint32 {
	i := t.index.First(hash)
	for i != 0 && t.names.Text(i) != name {
		i = t.names.At(i).link
	}
	return i
}

// need returns the number of a user, who is here from now on.
func (t *userShard) need(name string, hash uint64) uint32 {
	i := t.find(name, hash)
	if i == 0 {
		i = t.names.Add([]byte(name))
		t.text += len(name)
		t.index.Add(t, i)
	}
	return i
}

// vacate gives back a place of a user, who goes with the last.
func (t *userShard) vacate(i uint32) {
	if p := &t.names.At(i).places; *p > 1 {
		*p--
		return
	}
	t.text -= len(t.names.Bytes(i))
	t.index.Remove(t, i)
	t.names.Delete(i)
}

// acquire takes one of most places of a user, 0 for no limit, or returns a
// *limiter.ErrLimit. Each nil needs one release, unless add takes the place over.
func (u *users) acquire(name string, most int) error {
	t, hash := u.enterFor(name)
	defer u.leave(t, t.size())
	if t.isFull(name, hash, most) {
		return &limiter.ErrLimit{}
	}
	t.names.At(t.need(name, hash)).places++
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

func (t *userShard) isFull(name string, hash uint64, most int) bool {
	i := t.find(name, hash)
	return most > 0 && i != 0 && int(t.names.At(i).places) >= most
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
	*scratch = appendDetails((*scratch)[:0], id)
	t, hash := u.enterFor(id.Subject)
	defer u.leave(t, t.size())
	i, k := t.need(id.Subject, hash), t.conns.Take()
	of := t.names.At(i)
	if !hasPlace {
		of.places++
	}
	loops := u.srv.loops
	*t.conns.At(k) = userConn{
		user: i, next: of.latest, details: t.keep(of.latest, *scratch, id),
		at: c.slot*uint32(len(loops)) + uint32(c.loop.ID()),
	}
	if of.latest != 0 {
		t.conns.At(of.latest).prev = k
	}
	of.latest = k
	return k<<u.bits | u.shardOf(hash)
}

// keep returns the number of what is of an Identity beside its Subject, which may be what one of its
// connections has already.
func (t *userShard) keep(other uint32, details []byte, id *upgrade.Identity) uint32 {
	if other != 0 {
		k := t.conns.At(other).details
		if bytes.Equal(t.details.Bytes(k), details) && (details[0]&keepsMap == 0 || t.whole[k] == id) {
			*t.details.At(k)++
			return k
		}
	}
	k := t.details.Add(details)
	t.text += len(details)
	*t.details.At(k) = 1
	if details[0]&keepsMap != 0 {
		if t.whole == nil {
			t.whole = make(map[uint32]*upgrade.Identity)
		}
		t.whole[k] = id
	}
	return k
}

// drop gives back what keep has returned.
func (t *userShard) drop(k uint32) {
	if n := t.details.At(k); *n > 1 {
		*n--
		return
	}
	t.text -= len(t.details.Bytes(k))
	t.details.Delete(k)
	if delete(t.whole, k); len(t.whole) == 0 {
		t.whole = nil
	}
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
	*scratch = appendDetails((*scratch)[:0], id)
	t, c := u.enter(ident)
	defer u.leave(t, t.size())
	m := t.conns.At(c)
	if t.names.Text(m.user) != id.Subject {
		return false
	}
	other := t.names.At(m.user).latest
	before := m.details
	m.details = t.keep(other, *scratch, id)
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
	return identity{name: t.names.Bytes(m.user), details: t.details.Bytes(m.details), whole: t.whole[m.details]}
}

// subject returns the user of a connection, "" for 0: clone what is kept.
func (u *users) subject(ident uint32) string {
	if ident == 0 {
		return ""
	}
	t, c := u.enter(ident)
	defer t.mu.Unlock()
	return t.names.Text(t.conns.At(c).user)
}

// expiry returns when the Identity of a connection expires, zero for never.
func (u *users) expiry(ident uint32) time.Time {
	if ident == 0 {
		return time.Time{}
	}
	return readDetails(u.get(ident).details).expiresAt
}

// weighUsers charges the loop's budget for its share of what all users take.
func (l *loop) weighUsers() {
	share := int(l.srv.users.size.Load()) / len(l.srv.loops)
	if l.drain.cutTo > 0 { // the loop has ended
		share = 0
	}
	if share != l.names {
		l.Buffers.Charge(share - l.names)
		l.names = share
	}
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
