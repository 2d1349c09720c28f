//go:build linux

package poller

import (
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// set is an epoll set whose entries carry 64 bits of their owner's choice. An entry is
// level-triggered unless it is watched with Edge. The set itself can be polled: it is
// readable while one of its entries is ready.
type set struct {
	fd     int
	events [maxEvents]unix.EpollEvent
}

// maxEvents is how many ready descriptors one pass takes. With maxPasses it
// bounds a turn at 1,024 events, after which the loop looks at its other
// descriptors; so does maxSpin.
const (
	maxEvents = 256
	maxPasses = 4
	maxSpin   = time.Millisecond
)

func newSet() (*set, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	return &set{fd: fd}, nil
}

func (s *set) ctl(op, fd int, data uint64, want Event) error {
	ev := unix.EpollEvent{Events: uint32(want), Fd: int32(data), Pad: int32(data >> 32)}
	return os.NewSyscallError("epoll_ctl", unix.EpollCtl(s.fd, op, fd, &ev))
}

// wait returns what is ready now, without blocking. The result is valid until the
// next wait.
func (s *set) wait() ([]unix.EpollEvent, error) {
	for {
		// epoll_pwait, because some architectures have no epoll_wait.
		n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(s.fd),
			uintptr(unsafe.Pointer(&s.events[0])), maxEvents, 0, 0, 0)
		switch errno {
		case 0:
			return s.events[:n], nil
		case unix.EINTR:
		default:
			return nil, os.NewSyscallError("epoll_pwait", errno)
		}
	}
}

func eventData(e *unix.EpollEvent) uint64 {
	return uint64(uint32(e.Fd)) | uint64(uint32(e.Pad))<<32
}

func (s *set) close() { unix.Close(s.fd) }
