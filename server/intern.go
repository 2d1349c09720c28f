//go:build linux

package server

import (
	"encoding/binary"
	"slices"
	"unsafe"

	"github.com/usher-ws/usher/server/internal/intern"
	"github.com/usher-ws/usher/upgrade"
)

// place is a route with the values its wildcards matched and a subprotocol: most
// connections share a few of them.
type place struct {
	route  *loopRoute
	values []string
	proto  string // "" for none
	key    string
}

// Key is intern.Keyed's.
func (p place) Key() string { return p.key }

// places interns a loop's places; index 0 is none.
type places struct {
	intern.Table[string, place]
	key []byte // scratch
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
	if i, ok := intern.FindBytes(&t.Table, t.key); ok {
		return i
	}
	return t.Add(place{route: route, values: slices.Clone(values), proto: proto, key: string(t.key)})
}

// identity is an identity by its address: connections of one verified token share it.
type identity struct{ *upgrade.Identity }

// Key is intern.Keyed's. The identity is in use as long as it is in the table.
func (id identity) Key() uintptr { return uintptr(unsafe.Pointer(id.Identity)) }

// identities keeps a loop's identities; index 0 is none. With a million of them, what the
// garbage collector has to look at is one pointer for each: BenchmarkMillionGC.
type identities struct {
	intern.Table[uintptr, identity]
}

// find returns the index of id, with one more reference to it; 0 for nil.
func (t *identities) find(id *upgrade.Identity) uint32 {
	if id == nil {
		return 0
	}
	if i, ok := t.Find(identity{id}.Key()); ok {
		return i
	}
	return t.Add(identity{id})
}

// get returns the identity at an index, nil at 0.
func (t *identities) get(i uint32) *upgrade.Identity {
	if i == 0 {
		return nil
	}
	return t.At(i).Identity
}
