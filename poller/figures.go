//go:build linux

package poller

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Figures are what the kernel knows of a connection.
type Figures struct {
	Received int64 // bytes that came, those not read included
	Acked    int64 // bytes that the peer has acknowledged

	Unread int // bytes that came and were not read
	Unsent int // bytes that were given to Send and have not left
	Flying int // packets that have left and are not acknowledged

	RoundTrip time.Duration // as the kernel reckons it from acknowledgements
	Resent    int           // packets that left again

	Sending time.Duration // in which there was something to send
	NoRoom  time.Duration // of that, in which the peer had no room for it
}

// Inspect asks the kernel about fd, which takes about a microsecond. ok is false if it is not of
// TCP, or closed.
func Inspect(fd int) (f Figures, ok bool) {
	var info unix.TCPInfo
	size := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_INFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return f, false
	}
	unread, _ := unix.IoctlGetInt(fd, unix.SIOCINQ)
	return Figures{
		Received: int64(info.Bytes_received), Acked: int64(info.Bytes_acked),
		Unread: unread, Unsent: int(info.Notsent_bytes), Flying: int(info.Unacked),
		RoundTrip: time.Duration(info.Rtt) * time.Microsecond, Resent: int(info.Total_retrans),
		Sending: time.Duration(info.Busy_time) * time.Microsecond, NoRoom: time.Duration(info.Rwnd_limited) * time.Microsecond,
	}, true
}
