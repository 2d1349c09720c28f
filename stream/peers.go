//go:build linux

package stream

import (
	"encoding/binary"
	"net/netip"

	"github.com/usher-ws/usher/poller"
)

// peers are the addresses of a loop's streams that the kernel does not know, by their slots:
// of those that come through proxies. Without any they take nothing, else 18 bytes for each
// slot.
type peers []*[chunkSlots]peer

// peer is an address of IPv6, or of IPv4 within it, and a port; zero for none.
type peer [18]byte

func (t peers) at(slot uint32) (addr netip.AddrPort) {
	k := int(slot / chunkSlots)
	if k >= len(t) || t[k] == nil {
		return addr
	}
	p := &t[k][slot%chunkSlots]
	if *p == (peer{}) {
		return addr
	}
	return netip.AddrPortFrom(netip.AddrFrom16([16]byte(p[:16])).Unmap(), binary.BigEndian.Uint16(p[16:]))
}

// set notes an address, or none.
func (t *peers) set(slot uint32, addr netip.AddrPort) {
	var p peer
	if a := addr.Addr(); a.IsValid() && !a.IsUnspecified() {
		b := a.As16()
		binary.BigEndian.PutUint16(p[copy(p[:], b[:]):], addr.Port())
	}
	k := int(slot / chunkSlots)
	if p == (peer{}) && (k >= len(*t) || (*t)[k] == nil) {
		return
	}
	for k >= len(*t) {
		*t = append(*t, nil)
	}
	if (*t)[k] == nil {
		(*t)[k] = new([chunkSlots]peer)
	}
	(*t)[k][slot%chunkSlots] = p
}

// RemoteAddr is where the stream comes from: as a proxy has said, or else the peer's address,
// for which it asks the kernel. It is zero when that is not known any more, or is not of IP.
func (s S[T, X]) RemoteAddr() netip.AddrPort { return s.loop.remoteAddr(s.i, s.slot) }

// SetRemoteAddr says where the stream comes from, if it is through a proxy; zero is what the
// kernel knows. A newcomer is to Claim its place afterwards.
func (s S[T, X]) SetRemoteAddr(addr netip.AddrPort) { s.loop.peers.set(s.i, addr) }

// IsUnix reports whether the stream is on a unix socket, whose peers have no address.
func (s S[T, X]) IsUnix() bool { return s.slot.fd >= 0 && poller.IsUnix(int(s.slot.fd)) }

func (l *Loop[T, X]) remoteAddr(i uint32, s *slot[T]) netip.AddrPort {
	if addr := l.peers.at(i); addr.IsValid() || s.fd < 0 {
		return addr
	}
	return poller.Peer(int(s.fd))
}
