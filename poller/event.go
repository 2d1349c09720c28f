//go:build linux

package poller

import (
	"strings"

	"golang.org/x/sys/unix"
)

// Event is a set of conditions of a file descriptor.
type Event uint32

// The conditions. Hangup needs no asking for: the kernel reports it always, when
// both directions have ended or the socket has an error. RDHUP is never armed,
// because a read that returns zero says the same.
const (
	Readable Event = unix.EPOLLIN
	Writable Event = unix.EPOLLOUT
	Hangup   Event = unix.EPOLLHUP | unix.EPOLLERR
)

// String names the conditions, "none" for the empty set.
func (e Event) String() string {
	var names []string
	for _, c := range []struct {
		bit  Event
		name string
	}{{Readable, "readable"}, {Writable, "writable"}, {Hangup, "hangup"}} {
		if e&c.bit != 0 {
			names = append(names, c.name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, "|")
}
