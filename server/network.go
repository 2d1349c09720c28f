//go:build linux

package server

import (
	"hash/maphash"
	"net/netip"

	"github.com/usher-ws/usher/limiter"
)

// network is what the limits per address know of an address: a hash of its network, 0 for no
// address. It is all that they have to tell two of them apart, and takes no pointer.
type network uint64

// networkSeed is secret, so that nobody can find an address whose hash is that of another.
var networkSeed = maphash.MakeSeed()

func networkOf(addr netip.Addr) network {
	if addr = limiter.Network(addr); !addr.IsValid() {
		return 0
	}
	return max(network(maphash.Comparable(networkSeed, addr)), 1)
}

// networks are those of a loop's connections, by their slots. Without limits per address they
// take nothing, else 8 bytes for each slot.
type networks []*[chunkNetworks]network

// chunkNetworks is how many are allocated together, when the first of them is set.
const chunkNetworks = 4096

// at returns what was set for a slot, 0 if nothing was.
func (t networks) at(slot uint32) network {
	k := int(slot / chunkNetworks)
	if k >= len(t) || t[k] == nil {
		return 0
	}
	return t[k][slot%chunkNetworks]
}

func (t *networks) set(slot uint32, n network) {
	if t.at(slot) == n {
		return
	}
	k := int(slot / chunkNetworks)
	for k >= len(*t) {
		*t = append(*t, nil)
	}
	if (*t)[k] == nil {
		(*t)[k] = new([chunkNetworks]network)
	}
	(*t)[k][slot%chunkNetworks] = n
}
