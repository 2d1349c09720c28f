package limiter

import "net/netip"

// Network returns what a limit per address counts by: the address, and of IPv6 the
// /64, which is what one customer gets at least (RFC 6177 §2). An IPv4 address
// within IPv6 is that address; the zero Addr stays it.
func Network(a netip.Addr) netip.Addr {
	if a = a.Unmap(); !a.Is6() {
		return a
	}
	p, err := a.Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}
