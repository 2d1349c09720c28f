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

// networks are those of a loop's connections. Without limits per address they take nothing.
type networks = perSlot[network]
