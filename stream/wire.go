//go:build linux

package stream

import (
	"github.com/usher-ws/usher/poller"
	"golang.org/x/sys/unix"
)

// wire is how bytes go through a socket. The plain one gives them to the kernel as they
// are.
type wire interface {
	// recv reads once into b: the number of bytes, zero at the end of the stream, or
	// unix.EAGAIN.
	recv(fd int, b []byte) (int, unix.Errno)
	// send gives b to the kernel, which takes part of it, or nothing and unix.EAGAIN.
	// last says that finish follows when all of b was taken.
	send(fd int, b []byte, last bool) (int, unix.Errno)
	// finish says that nothing more is sent.
	finish(fd int) error
}

type plain struct{}

func (plain) recv(fd int, b []byte) (int, unix.Errno) { return poller.Recv(fd, b) }

// send has the FIN go with the last bytes.
func (plain) send(fd int, b []byte, last bool) (int, unix.Errno) {
	if last {
		return poller.SendLast(fd, b)
	}
	return poller.Send(fd, b)
}

func (plain) finish(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) }
