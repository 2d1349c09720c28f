//go:build linux

package server

import (
	"encoding/binary"

	"github.com/usher-ws/usher/upgrade"
)

// place is a route with the values its wildcards matched: most connections share
// a few of them.
type place struct {
	route  *loopRoute
	values []string
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

// find returns the index of the place of route and values, with one more
// reference to it. It allocates only for a place that is new.
func (t *places) find(route *loopRoute, values []string) uint32 {
	t.key = binary.AppendUvarint(t.key[:0], uint64(route.index))
	for _, v := range values {
		t.key = binary.AppendUvarint(t.key, uint64(len(v)))
		t.key = append(t.key, v...)
	}
	if i, ok := t.at[string(t.key)]; ok {
		t.all[i].refs++
		return i
	}
	p := place{route: route, values: append([]string(nil), values...), key: string(t.key), refs: 1}
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
// an entry. Index 0 is none.
type identities struct {
	all  []identity
	free []uint32
	at   map[*upgrade.Identity]uint32
}

type identity struct {
	*upgrade.Identity
	refs int
}

func (t *identities) find(id *upgrade.Identity) uint32 {
	if id == nil {
		return 0
	}
	if i, ok := t.at[id]; ok {
		t.all[i].refs++
		return i
	}
	i := takeIndex(&t.all, &t.free)
	t.all[i] = identity{id, 1}
	if t.at == nil {
		t.at = make(map[*upgrade.Identity]uint32)
	}
	t.at[id] = i
	return i
}

func (t *identities) get(i uint32) *upgrade.Identity {
	if i == 0 {
		return nil
	}
	return t.all[i].Identity
}

func (t *identities) drop(i uint32) {
	if i == 0 {
		return
	}
	e := &t.all[i]
	if e.refs--; e.refs == 0 {
		delete(t.at, e.Identity)
		*e = identity{}
		t.free = append(t.free, i)
	}
}

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
