//go:build linux

package poller

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Backlog is how many connections the kernel may hold for us between two turns of
// the acceptor. The kernel lowers it to net.core.somaxconn.
const Backlog = 16384

// Listen opens a non-blocking TCP listener on address, "host:port" as net.Listen
// takes it. Sockets accepted from it inherit TCP_NODELAY. The caller closes fd.
func Listen(address string) (fd int, err error) { return listenTCP(address, false) }

// ListenReusePort is Listen on an address that several processes of one user listen on, each
// of which gets its part of the connections: SO_REUSEPORT, socket(7).
func ListenReusePort(address string) (fd int, err error) { return listenTCP(address, true) }

func listenTCP(address string, reusePort bool) (fd int, err error) {
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
		{"setsockopt", func() error {
			if !reusePort {
				return nil
			}
			return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}},
		{"bind", func() error { return unix.Bind(fd, sa) }},
		{"listen", func() error { return unix.Listen(fd, Backlog) }},
	} {
		if err := step.do(); err != nil {
			unix.Close(fd)
			return -1, fmt.Errorf("listen %s: %w", address, os.NewSyscallError(step.call, err))
		}
	}
	return fd, nil
}

// ListenUnix opens a non-blocking listener on a unix socket of this path, with the permission
// bits of perm. What stands there is not removed: unix.EADDRINUSE. The caller closes fd, and
// removes the file.
func ListenUnix(path string, perm os.FileMode) (fd int, err error) {
	fd, err = unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	bound := false
	for _, step := range []struct {
		call string
		do   func() error
	}{
		// The file is made with the socket's own bits, less the umask: never with more.
		{"fchmod", func() error { return unix.Fchmod(fd, uint32(perm.Perm())) }},
		{"bind", func() error { return unix.Bind(fd, &unix.SockaddrUnix{Name: path}) }},
		{"chmod", func() error { bound = true; return unix.Chmod(path, uint32(perm.Perm())) }},
		{"listen", func() error { return unix.Listen(fd, Backlog) }},
	} {
		if err := step.do(); err != nil {
			unix.Close(fd)
			if bound {
				_ = unix.Unlink(path)
			}
			return -1, fmt.Errorf("listen %s: %w", path, os.NewSyscallError(step.call, err))
		}
	}
	return fd, nil
}

// Unreachable lets no more connections into the backlog of the listening socket fd, so that
// those in it can all be accepted before fd is closed, which resets the rest. To new
// clients the address does not answer, and refuses them once fd is closed.
func Unreachable(fd int) error {
	// The filter looks at the TCP header: byte 13 has the flags, 2 is SYN and 16 ACK. A
	// program that lets 0 bytes through drops the segment.
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 13},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: 2 | 16},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 2, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1<<32 - 1},
	}
	err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	return os.NewSyscallError("setsockopt", err)
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
