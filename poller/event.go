//go:build linux

package poller

import (
	"strings"

	"golang.org/x/sys/unix"
)

// Event is a set of conditions of a file descriptor.
type Event uint32

// The conditions. Hangup needs no asking for: the kernel reports it always, when
// both directions have ended or the socket has an error. PeerClosed comes with
// Readable when the peer says no more; what it has said may still be unread.
const (
	Readable   Event = unix.EPOLLIN
	Writable   Event = unix.EPOLLOUT
	PeerClosed Event = unix.EPOLLRDHUP
	Hangup     Event = unix.EPOLLHUP | unix.EPOLLERR
)

// Edge, where it is asked for with the conditions, has a change reported once, not a
// condition as long as it lasts. Whoever leaves something unread, or has room unused,
// asks again with Loop.Mod, which reports what is the case. Nothing is left by a read
// that has not filled its buffer, unless PeerClosed or Hangup came with the event: then
// the end of the stream may be. Urgent data is the exception: a read ends before it, and
// what is behind it waits for more to come.
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
