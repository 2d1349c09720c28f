//go:build linux

package server

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"sync"
	"unsafe"

	"github.com/usher-ws/usher/internal/compact"
	"github.com/usher-ws/usher/upgrade"
)

// userShard are some of the users. Of its tables only whole holds pointers.
type userShard struct {
	mu      sync.Mutex
	seed    maphash.Seed
	names   compact.Strings[user] // of names and details, see appendUser
	index   compact.Index         // of names
	conns   compact.Slab[userConn]
	details compact.Strings[uint32]      // of further details, each with how many connections share it
	whole   map[uint32]*upgrade.Identity // by their numbers in details
	text    int                          // bytes of the strings in names and details
}

// user is beside its name and the details of one of its tokens: most have no other.
type user struct {
	link   uint32 // of the index
	latest uint32 // of its connections
	places uint32 // that its connections have, and requests of it that are on their way
}

// userConn is a connection of a user: 20 bytes.
type userConn struct {
	user, details uint32 // details 0: those that are with the name
	next, prev    uint32 // in the user's list
	at            uint32 // its slot times the number of loops, and its loop
}

// appendUser appends what userShard.names has of a user: the name behind its length, and what is
// appended then, identity.details or nothing.
func appendUser(b []byte, name string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(name))), name...)
}

// splitUser takes apart what appendUser has begun.
func splitUser(b []byte) (name, details []byte) {
	n, k := binary.Uvarint(b)
	end := k + int(n)
	return b[k:end:end], b[end:]
}

// name returns the name of a user: clone what is kept.
func (t *userShard) name(i uint32) string {
	name, _ := splitUser(t.names.Bytes(i))
	return unsafe.String(unsafe.SliceData(name), len(name))
}

// Hash is compact.Chained's.
func (t *userShard) Hash(i uint32) uint64 { return maphash.String(t.seed, t.name(i)) }

// Link is compact.Chained's.
func (t *userShard) Link(i uint32) *uint32 { return &t.names.At(i).link }

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
	for i != 0 && t.name(i) != name {
		i = t.names.At(i).link
	}
	return i
}

// need returns the number of a user, who is here from now on. If it was not, its name is kept
// with what both says beside.
func (t *userShard) need(name string, hash uint64, both []byte) uint32 {
	i := t.find(name, hash)
	if i == 0 {
		i = t.names.Add(both)
		t.text += len(both)
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

func (t *userShard) isFull(name string, hash uint64, most int) bool {
	i := t.find(name, hash)
	return most > 0 && i != 0 && int(t.names.At(i).places) >= most
}

// keep returns the number of what there is of an Identity beside its Subject, 0 if that is with
// the name, where it takes the place of what nobody has any more if the connection is the
// user's only one. What another has already is not kept twice. both is the name and the
// details.
func (t *userShard) keep(i uint32, isAlone bool, both []byte, id *upgrade.Identity) uint32 {
	_, details := splitUser(both)
	_, first := splitUser(t.names.Bytes(i))
	isWhole := details[0]&keepsMap != 0
	switch {
	case isWhole:
	case bytes.Equal(first, details):
		return 0
	case isAlone:
		t.text += len(details) - len(first)
		t.names.Set(i, both)
		return 0
	}
	if latest := t.names.At(i).latest; latest != 0 {
		k := t.conns.At(latest).details
		if k != 0 && bytes.Equal(t.details.Bytes(k), details) && (!isWhole || t.whole[k] == id) {
			*t.details.At(k)++
			return k
		}
	}
	k := t.details.Add(details)
	t.text += len(details)
	*t.details.At(k) = 1
	if isWhole {
		if t.whole == nil {
			t.whole = make(map[uint32]*upgrade.Identity)
		}
		t.whole[k] = id
	}
	return k
}

// drop gives back what keep has returned.
func (t *userShard) drop(k uint32) {
	if k == 0 {
		return
	}
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
