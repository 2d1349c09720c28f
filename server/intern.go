//go:build linux

package server

import (
	"encoding/binary"
	"unsafe"

	"github.com/usher-ws/usher/upgrade"
)

// place is a route with the values its wildcards matched and a subprotocol: most
// connections share a few of them.
type place struct {
	route  *loopRoute
	values []string
	proto  string // "" for none
	key    string
	refs   int
}

// places interns a loop's places; index 0 is none.
type places struct {
	all  []place
	free []uint32
	at   map[string]uint32
	key  []byte // scratch
}

// find returns the index of the place of route, values and proto, with one more
// reference to it. It allocates only for a place that is new.
func (t *places) find(route *loopRoute, values []string, proto string) uint32 {
	t.key = binary.AppendUvarint(t.key[:0], uint64(route.index))
	for _, v := range values {
		t.key = binary.AppendUvarint(t.key, uint64(len(v)))
		t.key = append(t.key, v...)
	}
	t.key = append(t.key, proto...)
	if i, ok := t.at[string(t.key)]; ok {
		t.all[i].refs++
		return i
	}
	p := place{route: route, values: append([]string(nil), values...), proto: proto, key: string(t.key), refs: 1}
	i := takeIndex(&t.all, &t.free)
	t.all[i] = p
	if t.at == nil {
		t.at = make(map[string]uint32)
	}
	t.at[p.key] = i
	return i
}

// drop gives back a reference.
func (t *places) drop(i uint32) {
	p := &t.all[i]
	if p.refs--; p.refs == 0 {
		delete(t.at, p.key)
		*p = place{}
		t.free = append(t.free, i)
	}
}

// identities keeps a loop's identities; connections of one verified token share
// an entry. Index 0 is none. With a million of them, what the garbage collector has
// to look at is one pointer for each: BenchmarkMillionGC.
type identities struct {
	all  []*upgrade.Identity
	refs []uint32 // as long as all
	free []uint32
	at   map[uintptr]uint32 // by the address, which all keeps in use
}

func (t *identities) find(id *upgrade.Identity) uint32 {
	if id == nil {
		return 0
	}
	i, ok := t.at[address(id)]
	if !ok {
		i = takeIndex(&t.all, &t.free)
		if t.at == nil {
			t.at = make(map[uintptr]uint32)
		}
		t.all[i], t.at[address(id)] = id, i
		t.refs = append(t.refs, make([]uint32, len(t.all)-len(t.refs))...)
	}
	t.refs[i]++
	return i
}

func (t *identities) get(i uint32) *upgrade.Identity {
	if i == 0 {
		return nil
	}
	return t.all[i]
}

func (t *identities) drop(i uint32) {
	if i == 0 {
		return
	}
	if t.refs[i]--; t.refs[i] == 0 {
		delete(t.at, address(t.all[i]))
		t.all[i] = nil
		t.free = append(t.free, i)
	}
}

func address(id *upgrade.Identity) uintptr { return uintptr(unsafe.Pointer(id)) }

// takeIndex returns a free index of all, never 0.
func takeIndex[T any](all *[]T, free *[]uint32) uint32 {
	if n := len(*free); n > 0 {
		i := (*free)[n-1]
		*free = (*free)[:n-1]
		return i
	}
	var zero T
	if len(*all) == 0 {
		*all = append(*all, zero)
	}
	*all = append(*all, zero)
	return uint32(len(*all) - 1)
}
