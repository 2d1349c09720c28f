//go:build linux

package stream

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"

	"github.com/usher-ws/usher/record/handshake"
	"golang.org/x/sys/unix"
)

// Dial begins to connect to an address, from another if that is valid, and keeps data with
// the stream. The owner hears of Opened later, or of Ended with the errno; until then the
// stream is Dialing, for as long as the kernel tries unless the owner sets a deadline. An
// error means that there is no stream. Only on the loop.
func (l *Loop[T, X]) Dial(to netip.AddrPort, from netip.Addr, data T) (S[T, X], error) {
	fd, err := l.address.socket(to.Addr(), from)
	if err != nil {
		return S[T, X]{}, err
	}
	return l.dial(fd, l.address.of(to), data)
}

// DialUnix is Dial to a unix socket, by its path; one that begins with @ is of the abstract
// namespace. Where too many wait to be accepted it is unix.EAGAIN, at once.
func (l *Loop[T, X]) DialUnix(path string, data T) (S[T, X], error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return S[T, X]{}, err
	}
	return l.dial(fd, &unix.SockaddrUnix{Name: path}, data)
}

// dial begins to connect a socket, which is closed if that cannot be.
func (l *Loop[T, X]) dial(fd int, to unix.Sockaddr, data T) (S[T, X], error) {
	err := unix.Connect(fd, to)
	if err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return S[T, X]{}, err
	}
	i, s := l.slab.take()
	s.fd, s.state, s.flags, s.data = int32(fd), Dialing, uncounted|armedWrite, data
	l.conns.Add(1)
	l.dialled++
	if err := l.poll.Add(fd, token(i, s.gen.Load()), interest(s.flags)); err != nil {
		l.shut(s)
		l.vacate(i, s)
		return S[T, X]{}, err
	}
	return l.of(i, s), nil // if the kernel has connected already, epoll tells of it
}

// IsDialled reports whether the stream was dialled.
func (s S[T, X]) IsDialled() bool { return s.slot.flags&uncounted != 0 }

// connected learns how the connecting went.
func (l *Loop[T, X]) connected(i uint32, s *slot[T]) {
	code, err := unix.GetsockoptInt(int(s.fd), unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code)
	}
	if err != nil {
		l.release(i, s, err)
		return
	}
	s.state = Flowing
	if s.ext != 0 && l.exts.get(s.ext).sealed.shake != nil {
		s.state = Securing
	}
	call := l.enter(i, s)
	l.handler.Opened(l.of(i, s))
	l.leave(i, s, call)
	if s.gen.Load()&genBits == call.gen && s.state == Securing {
		l.beginHandshake(i, s, l.exts.get(s.ext).sealed.shake)
	}
}

// DialTLS is Dial, and a handshake of TLS when it has connected: Opened comes before that,
// Secured after it. The Config is as package handshake's Client takes it.
func (l *Loop[T, X]) DialTLS(to netip.AddrPort, from netip.Addr, data T, config *tls.Config) (S[T, X], error) {
	s, err := l.Dial(to, from, data)
	if err == nil {
		l.newHandshake(s.i, s.slot, func(c net.Conn) (*handshake.Result, error) {
			return handshake.Client(context.Background(), c, config)
		})
	}
	return s, err
}

// socket makes a socket, bound to from if that is valid. The port is left to connect,
// which may then share it between destinations.
func (a *address) socket(to, from netip.Addr) (fd int, err error) {
	if !to.IsValid() {
		return -1, unix.EDESTADDRREQ
	}
	family := unix.AF_INET6
	if to.Is4() {
		family = unix.AF_INET
	}
	fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return -1, err
	}
	if err = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err == nil && from.IsValid() {
		if err = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err == nil {
			err = unix.Bind(fd, a.of(netip.AddrPortFrom(from, 0)))
		}
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// address is room for one that the kernel is given.
type address struct {
	v4 unix.SockaddrInet4
	v6 unix.SockaddrInet6
}

// of returns at as the kernel reads it, valid until the next call.
func (a *address) of(at netip.AddrPort) unix.Sockaddr {
	if at.Addr().Is4() {
		a.v4 = unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
		return &a.v4
	}
	a.v6 = unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
	return &a.v6
}
