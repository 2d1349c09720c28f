//go:build linux

package load

import (
	"errors"

	"github.com/usher-ws/usher/frame"
	"golang.org/x/sys/unix"
)

// Leave says goodbye to connection i as RFC 6455 §7.1.2 wants it: a close frame,
// then the server's, or its end of the stream, then ours.
func (c *Client) Leave(i int, code frame.StatusCode) {
	s := &c.slots[i]
	if s.state != open {
		return
	}
	var body [2]byte
	body[0], body[1] = byte(code>>8), byte(code)
	s.state = leaving
	s.due = c.patience()
	c.opened--
	if i == c.current {
		c.out = AppendMessage(c.out, frame.OpClose, body[:], nil)
		return
	}
	out := AppendMessage(c.borrow(), frame.OpClose, body[:], nil)
	c.write(i, s, out)
	c.giveBack(out)
}

// Hang closes connection i without a word.
func (c *Client) Hang(i int) {
	if s := &c.slots[i]; s.state != unused {
		c.drop(i, s, Fault{})
	}
}

// Reset closes connection i with a RST, as a machine does that was switched off
// and on.
func (c *Client) Reset(i int) {
	s := &c.slots[i]
	if s.fd >= 0 {
		_ = unix.SetsockoptLinger(int(s.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	c.Hang(i)
}

// drop is the one exit: the descriptor is closed, the side tables forget the
// connection, the fault is counted, and the player is told.
func (c *Client) drop(i int, s *slot, f Fault) {
	switch s.state {
	case dialing, greeting:
		c.onWay--
	case open:
		c.opened--
	}
	if s.fd >= 0 {
		_ = c.poll.Remove(int(s.fd))
		unix.Close(int(s.fd))
	}
	c.forgetHead(i, s)
	if s.flags&hasBacklog != 0 {
		delete(c.backlog, uint32(i))
	}
	if s.flags&hasPartial != 0 && i != c.feeding { // else feed gives it back
		c.partials[uint32(i)].Release(&c.frame)
		delete(c.partials, uint32(i))
	}
	s.fd, s.state, s.flags, s.due = -1, unused, 0, 0
	s.gen++
	if f != (Fault{}) {
		c.tally.Faults.Add(f, 1)
	}
	c.player.Closed(i, f)
}

// errnoOf returns the error number in err, 0 if there is none.
func errnoOf(err error) int {
	var errno unix.Errno
	errors.As(err, &errno)
	return int(errno)
}
