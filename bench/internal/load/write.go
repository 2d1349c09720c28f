//go:build linux

package load

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/poller"
	"golang.org/x/sys/unix"
)

// Send sends one message to connection i, which must be open: head followed by
// tail. Within an event of that connection everything said leaves in one send,
// when the event is over; else it leaves at once.
func (c *Client) Send(i int, op frame.Opcode, head, tail []byte) {
	s := &c.slots[i]
	if s.state != open {
		return
	}
	c.tally.Sent++
	c.worked = true
	if i == c.current {
		c.out = AppendMessage(c.out, op, head, tail)
		return
	}
	out := AppendMessage(c.borrow(), op, head, tail)
	c.write(i, s, out)
	c.giveBack(out)
}

// SendRaw sends bytes that need not be frames, to a connection that is open or in
// the greeting.
func (c *Client) SendRaw(i int, b []byte) {
	s := &c.slots[i]
	if s.state == open || s.state == greeting {
		c.write(i, s, b)
	}
}

// Backlog returns how many bytes to connection i the kernel has not taken yet.
func (c *Client) Backlog(i int) int {
	if c.slots[i].flags&hasBacklog == 0 {
		return 0
	}
	return len(c.backlog[uint32(i)])
}

// AppendMessage appends one masked frame, its payload head followed by tail. The key is fresh for each, as RFC 6455
// §5.3 wants it, so that the server has the work it would have.
func AppendMessage(dst []byte, op frame.Opcode, head, tail []byte) []byte {
	h := frame.Header{Fin: true, Opcode: op, Masked: true, Length: int64(len(head) + len(tail))}
	binary.LittleEndian.PutUint32(h.Mask[:], rand.Uint32())
	dst = frame.AppendHeader(dst, h)
	n := len(dst)
	dst = append(dst, head...)
	dst = append(dst, tail...)
	frame.Mask(dst[n:], h.Mask, 0)
	return dst
}

// borrow returns the free end of the output buffer, for something that leaves
// while an event of another connection is being handled.
func (c *Client) borrow() []byte { return c.out[len(c.out):] }

// giveBack keeps a buffer that grew, if nothing of the current event lies in the
// old one.
func (c *Client) giveBack(b []byte) {
	if len(c.out) == 0 && cap(b) > cap(c.out) {
		c.out = b[:0]
	}
}

// flush sends what was said during an event of connection i.
func (c *Client) flush(i int, s *slot) {
	if len(c.out) > 0 {
		c.write(i, s, c.out)
		c.out = c.out[:0]
	}
}

// write sends b, and keeps what the kernel does not take.
func (c *Client) write(i int, s *slot, b []byte) {
	if s.flags&hasBacklog != 0 {
		c.backlog[uint32(i)] = append(c.backlog[uint32(i)], b...)
		return
	}
	if n := c.send(s, b); n < len(b) {
		c.backlog[uint32(i)] = append([]byte(nil), b[n:]...)
		s.flags |= hasBacklog
		c.watch(i, s)
	}
}

// flushBacklog sends on what the kernel did not take.
func (c *Client) flushBacklog(i int, s *slot) {
	if s.flags&hasBacklog == 0 {
		return
	}
	b := c.backlog[uint32(i)]
	if n := c.send(s, b); n < len(b) {
		c.backlog[uint32(i)] = b[:copy(b, b[n:])]
		return
	}
	delete(c.backlog, uint32(i))
	s.flags &^= hasBacklog
	c.watch(i, s)
}

// send gives b to the kernel until it takes no more. A connection that takes none
// because it has failed is left to be read: what the server said before it ended
// may still be there.
func (c *Client) send(s *slot, b []byte) (n int) {
	for n < len(b) {
		k, errno := poller.Send(int(s.fd), b[n:])
		switch {
		case errno == unix.EAGAIN:
			return n
		case errno != 0:
			s.flags |= deaf
			return len(b)
		}
		n += k
		c.tally.BytesOut += uint64(k)
		if k < poller.SendLimit {
			break // the kernel is full, or b is at its end
		}
	}
	return n
}
