//go:build linux

package load

import (
	"fmt"
	"unicode/utf8"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/poller"
	"golang.org/x/sys/unix"
)

// Pause stops reading from connection i: what the server says fills the kernel's
// buffers, and then the server's.
func (c *Client) Pause(i int) {
	s := &c.slots[i]
	if s.state == open && s.flags&paused == 0 {
		s.flags |= paused
		c.watch(i, s)
	}
}

// Resume undoes Pause.
func (c *Client) Resume(i int) {
	s := &c.slots[i]
	if s.flags&paused != 0 {
		s.flags &^= paused
		c.watch(i, s)
	}
}

// watch asks the loop for what the connection needs.
func (c *Client) watch(i int, s *slot) {
	var want poller.Event
	if s.flags&paused == 0 {
		want |= poller.Readable
	}
	if s.flags&hasBacklog != 0 {
		want |= poller.Writable
	}
	_ = c.poll.Mod(int(s.fd), s.data(i), want)
}

// recv reads once. ok is false when there was nothing, or when the connection has
// ended: it is closed then.
func (c *Client) recv(i int, s *slot) (b []byte, ok bool) {
	n, errno := poller.Recv(int(s.fd), c.buf)
	switch {
	case errno == unix.EAGAIN:
		return nil, false
	case errno != 0:
		c.end(i, s, Fault{Kind: Reset, Code: int(errno)})
		return nil, false
	case n == 0:
		c.end(i, s, Fault{Kind: Cut})
		return nil, false
	}
	c.at = c.Now()
	c.tally.BytesIn += uint64(n)
	return c.buf[:n], true
}

// end closes a connection whose stream has ended. In the greeting there may be
// an answer whose end is the end of the stream; after our close frame the end is
// what we waited for.
func (c *Client) end(i int, s *slot, f Fault) {
	if f.Kind == Cut && s.flags&deaf != 0 {
		f = Fault{Kind: Reset, Code: int(unix.ECONNRESET)}
	}
	switch s.state {
	case greeting:
		if s.flags&hasHead != 0 {
			if a, n, err := parseAnswer(c.heads[uint32(i)], true); err == nil && n > 0 && a.Status != 101 {
				c.answered(i, s, &a)
				return
			}
		}
		if f.Kind == Cut {
			f.Kind = NoAnswer
		}
	case leaving:
		if f.Kind == Cut {
			f = Fault{}
		}
	}
	c.drop(i, s, f)
}

// readAnswer reads the response to the request, and frames behind it.
func (c *Client) readAnswer(i int, s *slot) {
	b, ok := c.recv(i, s)
	if !ok {
		return
	}
	if s.flags&hasHead != 0 {
		b = append(c.heads[uint32(i)], b...)
	}
	a, n, err := parseAnswer(b, false)
	switch {
	case err != nil:
		c.drop(i, s, Fault{Kind: BadAnswer})
		return
	case n == 0:
		if s.flags&hasHead == 0 {
			b = append([]byte(nil), b...)
		}
		s.flags |= hasHead
		c.heads[uint32(i)] = b
		return
	case a.Status != 101:
		c.answered(i, s, &a)
		return
	case checkUpgrade(&a, c.nonce(i, s)) != "":
		c.drop(i, s, Fault{Kind: BadAnswer, Code: a.Status})
		return
	}
	c.forgetHead(i, s)
	s.state, s.due, s.frame = open, 0, frame.State{}
	c.onWay--
	c.opened++
	c.tally.Opened++
	gen := s.gen
	c.player.Opened(i)
	if n < len(b) && s.gen == gen {
		c.feed(i, s, b[n:])
	}
}

// answered closes a connection that got an answer other than an upgrade.
func (c *Client) answered(i int, s *slot, a *Answer) {
	c.player.Answered(i, a)
	c.drop(i, s, Fault{Kind: Refused, Code: a.Status})
}

// readFrames reads once and hands on what it says.
func (c *Client) readFrames(i int, s *slot) {
	if b, ok := c.recv(i, s); ok {
		c.feed(i, s, b)
	}
}

// short hands on the whole, short messages that b begins with, which is most often
// all there is, and returns the rest. A server's frames are not masked, so that
// there is nothing to do but to look (RFC 6455 §5.2).
func (c *Client) short(i int, s *slot, b []byte) []byte {
	const (
		finText   = 0x80 | byte(frame.OpText)
		finBinary = 0x80 | byte(frame.OpBinary)
		long      = 126 // or masked
	)
	for gen := s.gen; s.gen == gen && s.state == open && len(b) >= 2 && b[1] < long; {
		n := 2 + int(b[1])
		if n > len(b) || b[0] != finBinary && (b[0] != finText || !utf8.Valid(b[2:n])) {
			break
		}
		c.player.Message(i, frame.Opcode(b[0]&0x0F), b[2:n:n])
		b = b[n:]
	}
	return b
}

// feed gives b to the protocol and its events to the player.
func (c *Client) feed(i int, s *slot, b []byte) {
	var q *frame.Partial
	if s.flags&hasPartial != 0 {
		q = c.partials[uint32(i)]
	}
	gen := s.gen
	if q == nil {
		if b = c.short(i, s, b); len(b) == 0 || s.gen != gen {
			return
		}
	}
	var end Fault
	over := false
	c.feeding = i
	c.proto.Resume(&c.frame, s.frame, q)
	c.proto.Receive(b)
	for ev := c.proto.NextEvent(); ev.Kind != frame.NoEvent && s.gen == gen; ev = c.proto.NextEvent() {
		switch ev.Kind {
		case frame.MessageEvent:
			if s.state == open {
				c.player.Message(i, ev.Opcode, ev.Data)
			}
		case frame.PingEvent:
			c.out = c.proto.AppendReply(c.out, ev)
		case frame.PongEvent:
			if c.ponger != nil {
				c.ponger.Pong(i)
			}
		case frame.CloseEvent:
			c.out = c.proto.AppendReply(c.out, ev)
			over = true
			if s.state != leaving {
				end = Fault{Kind: Closed, Code: int(ev.Code)}
				if len(ev.Data) > 0 {
					c.tally.Told.Add(fmt.Sprintf("%v: %s", end, ev.Data), 1)
				}
			}
		default:
			c.out = c.proto.AppendReply(c.out, ev)
			end, over = Fault{Kind: Broken, Code: int(ev.Code)}, true
		}
	}
	state, q := c.proto.Suspend()
	c.feeding = -1
	if s.gen != gen { // the player closed it
		q.Release(&c.frame)
		delete(c.partials, uint32(i))
		return
	}
	s.frame = state
	c.keepPartial(i, s, q)
	if over {
		c.flush(i, s)
		if s.gen == gen {
			c.drop(i, s, end)
		}
	}
}

func (c *Client) keepPartial(i int, s *slot, q *frame.Partial) {
	switch {
	case q != nil:
		c.partials[uint32(i)] = q
		s.flags |= hasPartial
	case s.flags&hasPartial != 0:
		delete(c.partials, uint32(i))
		s.flags &^= hasPartial
	}
}

func (c *Client) forgetHead(i int, s *slot) {
	if s.flags&hasHead != 0 {
		delete(c.heads, uint32(i))
		s.flags &^= hasHead
	}
}
