//go:build linux

package server

import (
	"encoding/binary"
	"slices"
	"unsafe"

	"github.com/usher-ws/usher/server/internal/intern"
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
	bytes int    // that those with values take, about
	key   []byte // scratch
}

// placeSize is what a place takes beside its strings, with a value and an entry of a map.
const placeSize = int(unsafe.Sizeof(place{})) + 64

// size is 0 for a place that no client chose a part of: there are few of them.
func (p *place) size() int {
	if len(p.values) == 0 {
		return 0
	}
	return placeSize + 2*len(p.key)
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
	p := place{route: route, values: slices.Clone(values), proto: proto, key: string(t.key)}
	t.bytes += p.size()
	return t.Add(p)
}

// Drop is intern.Table's.
func (t *places) Drop(i uint32) {
	if i == 0 {
		return
	}
	before, size := t.Len(), t.At(i).size()
	t.Table.Drop(i)
	if t.Len() < before {
		t.bytes -= size
	}
}
