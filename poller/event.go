//go:build linux

package poller

import (
	"strings"

	"golang.org/x/sys/unix"
)

// Event is a set of conditions of a file descriptor.
type Event uint32

// The conditions. Hangup need not be asked for: the kernel always reports it when
// both directions have ended or the socket has an error. PeerClosed comes with
// Readable when the peer sends no more; what it has sent may still be unread.
const (
	Readable   Event = unix.EPOLLIN
	Writable   Event = unix.EPOLLOUT
	PeerClosed Event = unix.EPOLLRDHUP
	Hangup     Event = unix.EPOLLHUP | unix.EPOLLERR
)

// Edge, asked for together with conditions, reports each change once instead of a
// condition for as long as it lasts. A caller that leaves bytes unread, or room unused,
// asks again with Loop.Mod, which reports the conditions that hold then. A read that does
// not fill its buffer leaves nothing, unless PeerClosed or Hangup came with the event:
// then the end of the stream may be unread. Urgent data is an exception: a read ends
// before it, and the bytes behind it wait until more arrive.
const Edge Event = unix.EPOLLET

// String names the conditions, "none" for the empty set.
func (e Event) String() string {
	var names []string
	for _, c := range []struct {
		bit  Event
		name string
	}{{Readable, "readable"}, {Writable, "writable"}, {PeerClosed, "peer closed"}, {Hangup, "hangup"}, {Edge, "edge"}} {
		if e&c.bit != 0 {
			names = append(names, c.name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, "|")
}
