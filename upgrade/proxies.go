package upgrade

import (
	"fmt"
	"net/netip"
	"strings"
)

// Proxies are peers that speak for others. The zero Proxies are none.
type Proxies struct {
	Networks []netip.Prefix // of IPv4 as such, not within IPv6; ParseProxies sees to that
	Unix     bool           // peers on unix sockets, which have no address
}

// ParseProxies reads a list of networks, like 10.0.0.0/8 or fd00::/8, of single addresses,
// and of the word unix.
func ParseProxies(list []string) (p Proxies, err error) {
	for _, text := range list {
		if text == "unix" {
			p.Unix = true
			continue
		}
		n, err := parseNetwork(text)
		if err != nil {
			return Proxies{}, err
		}
		p.Networks = append(p.Networks, n)
	}
	return p, nil
}

// parseNetwork reads a network or an address.
func parseNetwork(text string) (netip.Prefix, error) {
	n, err := netip.ParsePrefix(text)
	if !strings.Contains(text, "/") {
		var addr netip.Addr
		addr, err = netip.ParseAddr(text)
		n = netip.PrefixFrom(addr, addr.BitLen())
	}
	if err != nil || strings.Contains(text, "%") {
		return netip.Prefix{}, fmt.Errorf("%q is not a network: want one like 10.0.0.0/8 or fd00::/8, an address, or unix", text)
	}
	if a := n.Addr(); a.Is4In6() && n.Bits() >= 96 {
		n = netip.PrefixFrom(a.Unmap(), n.Bits()-96)
	}
	if n != n.Masked() {
		return netip.Prefix{}, fmt.Errorf("%q has an address behind its network: want %v or %v", text, n.Masked(), n.Addr())
	}
	return n, nil
}

// IsZero reports whether there are none.
func (p Proxies) IsZero() bool { return len(p.Networks) == 0 && !p.Unix }

// Has reports whether a peer is one of them. One on a unix socket has the zero Addr; so has one
// whose address is not known any more, which the caller has to tell from it.
func (p Proxies) Has(peer netip.Addr) bool {
	if !peer.IsValid() {
		return p.Unix
	}
	peer = peer.Unmap().WithZone("")
	for _, n := range p.Networks {
		if n.Contains(peer) {
			return true
		}
	}
	return false
}
