//go:build linux

package poller

import (
	"math"
	"net/netip"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls in this file are made on non-blocking sockets only. They cannot
// sleep, so they need not tell the Go scheduler that they might: a raw system
// call saves the two hand-overs around it, 18 to 33 % of a busy loop's CPU
// (BenchmarkRecvSend compares it with the ordinary way). Recv and Send make it by package
// syscall: that of x/sys is assembly, which costs a change of calling conventions on the way.

// SendLimit is the most one Send gives to the kernel, so that one fast reader of
// a huge backlog does not hold up the loop.
const SendLimit = 256 << 10

// Recv reads into b, which must not be empty. It returns the number of bytes,
// zero at the end of the stream, and unix.EAGAIN when there is nothing to read.
func Recv(fd int, b []byte) (int, unix.Errno) { return recv(fd, b, unix.MSG_DONTWAIT) }

// Peek is Recv, but what it returns can be read again.
func Peek(fd int, b []byte) (int, unix.Errno) { return recv(fd, b, unix.MSG_DONTWAIT|unix.MSG_PEEK) }

func recv(fd int, b []byte, flags uintptr) (int, unix.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd),
			uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), flags, 0, 0)
		if errno == 0 {
			return int(n), 0
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// PeerHasEnded reports whether the peer has said its last, whatever of that is still to be
// read.
func PeerHasEnded(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}

// IsUnix reports whether fd is a unix socket.
func IsUnix(fd int) bool {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	return err == nil && domain == unix.AF_UNIX
}

// Send writes at most SendLimit bytes of b, which must not be empty, and returns
// how many the kernel took; unix.EAGAIN when it took none. It never raises
// SIGPIPE.
func Send(fd int, b []byte) (int, unix.Errno) {
	return send(fd, b, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
}

// SendLast is Send for the last bytes before shutdown(2): the kernel holds back a segment
// that is not full, so that the FIN goes with it instead of in a segment of its own.
func SendLast(fd int, b []byte) (int, unix.Errno) {
	return send(fd, b, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL|unix.MSG_MORE)
}

func send(fd int, b []byte, flags uintptr) (int, unix.Errno) {
	size := min(len(b), SendLimit)
	for {
		n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
			uintptr(unsafe.Pointer(&b[0])), uintptr(size), flags, 0, 0)
		if errno == 0 {
			return int(n), 0
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// Outgoing is what the kernel knows of the bytes that Send has given to it.
type Outgoing struct {
	Unsent  int           // how many have not left
	Unacked bool          // some of those that have left, or the FIN, are not acknowledged
	Sent    time.Duration // how long ago bytes last left
	Acked   time.Duration // how long ago the peer last acknowledged anything
}

// Progress asks the kernel about fd, which takes about half a microsecond. A socket that is
// not TCP looks like one whose bytes were all acknowledged long ago.
func Progress(fd int) Outgoing {
	var info unix.TCPInfo
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_INFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return Outgoing{Sent: math.MaxInt64, Acked: math.MaxInt64}
	}
	return Outgoing{
		Unsent:  int(info.Notsent_bytes),
		Unacked: info.Unacked > 0,
		Sent:    time.Duration(info.Last_data_sent) * time.Millisecond,
		Acked:   time.Duration(info.Last_ack_recv) * time.Millisecond,
	}
}

// Waits reports whether the peer has yet to acknowledge anything.
func (o Outgoing) Waits() bool { return o.Unsent > 0 || o.Unacked }

// Taken is how long ago, at the most, the peer last took a byte. Of bytes that have
// left, it is the acknowledgements that tell: they may be leaving again and again.
// With none under way these tell nothing, as a peer without room answers the
// kernel's questions for it, and one that talks acknowledges what it had before.
func (o Outgoing) Taken() time.Duration {
	if o.Unacked {
		return o.Acked
	}
	return o.Sent
}

// Accept takes one connection from the listening socket fd, non-blocking and
// close-on-exec, with the peer's address; unix.EAGAIN when none is waiting.
func Accept(fd int) (conn int, peer netip.AddrPort, errno unix.Errno) {
	var sa unix.RawSockaddrAny
	for {
		size := uint32(unix.SizeofSockaddrAny)
		n, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(&sa)),
			uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		if errno == 0 {
			return int(n), addrPort(&sa), 0
		}
		if errno != unix.EINTR {
			return -1, netip.AddrPort{}, errno
		}
	}
}

// addrPort reads the address the kernel wrote; an IPv4 address that came in
// through an IPv6 socket is given as IPv4.
func addrPort(sa *unix.RawSockaddrAny) netip.AddrPort {
	switch sa.Addr.Family {
	case unix.AF_INET:
		in := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), networkOrder(in.Port))
	case unix.AF_INET6:
		in := (*unix.RawSockaddrInet6)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom16(in.Addr).Unmap(), networkOrder(in.Port))
	}
	return netip.AddrPort{}
}

// networkOrder reads a port whose two bytes lie in memory most significant first.
func networkOrder(port uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&port))
	return uint16(b[0])<<8 | uint16(b[1])
}

// Peer asks the kernel for the remote address of fd; the zero AddrPort when it no
// longer knows one. It allocates nothing.
func Peer(fd int) netip.AddrPort {
	var sa unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	_, _, errno := unix.RawSyscall(unix.SYS_GETPEERNAME, uintptr(fd),
		uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return netip.AddrPort{}
	}
	return addrPort(&sa)
}

// Local asks the kernel for the address fd is bound to.
func Local(fd int) (netip.AddrPort, error) {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, os.NewSyscallError("getsockname", err)
	}
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), nil
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port)), nil
	}
	return netip.AddrPort{}, nil
}
