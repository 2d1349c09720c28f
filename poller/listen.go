//go:build linux

package poller

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// backlog is how many connections the kernel may hold for us between two turns of
// the acceptor. The kernel lowers it to net.core.somaxconn.
const backlog = 16384

// Listen opens a non-blocking TCP listener on address, "host:port" as net.Listen
// takes it. Sockets accepted from it inherit TCP_NODELAY. The caller closes fd.
func Listen(address string) (fd int, err error) {
	addr, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return -1, err
	}
	family, sa := sockaddrOf(addr)
	fd, err = newSocket(family)
	if err == unix.EAFNOSUPPORT && addr.IP == nil { // every address, on a kernel without IPv6
		family, sa = unix.AF_INET, &unix.SockaddrInet4{Port: addr.Port}
		fd, err = newSocket(family)
	}
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	for _, step := range []struct {
		call string
		do   func() error
	}{
		{"setsockopt", func() error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) }},
		{"setsockopt", func() error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) }},
		{"bind", func() error { return unix.Bind(fd, sa) }},
		{"listen", func() error { return unix.Listen(fd, backlog) }},
	} {
		if err := step.do(); err != nil {
			unix.Close(fd)
			return -1, fmt.Errorf("listen %s: %w", address, os.NewSyscallError(step.call, err))
		}
	}
	return fd, nil
}

func newSocket(family int) (fd int, err error) {
	return unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
}

// sockaddrOf prefers IPv4 when the address has one; the empty host means every
// address of both families, through one IPv6 socket.
func sockaddrOf(addr *net.TCPAddr) (family int, sa unix.Sockaddr) {
	if ip4 := addr.IP.To4(); ip4 != nil {
		return unix.AF_INET, &unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(ip4)}
	}
	in6 := &unix.SockaddrInet6{Port: addr.Port}
	copy(in6.Addr[:], addr.IP.To16())
	if zone, err := net.InterfaceByName(addr.Zone); addr.Zone != "" && err == nil {
		in6.ZoneId = uint32(zone.Index)
	}
	return unix.AF_INET6, in6
}
