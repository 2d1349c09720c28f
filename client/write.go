//go:build linux

package client

import "github.com/usher-ws/usher/frame"

// Send sends one message to s, and reports false if that is not Open: head followed by tail,
// which are not kept. Bytes that are not one message can be written to the stream itself.
func (c *Client[T]) Send(s Stream[T], op frame.Opcode, head, tail []byte) bool {
	if s.Data().state != Open {
		return false
	}
	c.say(s, c.frame.AppendFrame(c.output(s), op, head, tail))
	return true
}

// Leave says goodbye to s if that is Open, as RFC 6455 §7.1.2 wants it: a close frame, then
// the server's, or its end of the stream, then ours. Messages that come meanwhile are lost.
// The code is as for frame.AppendCloseFrame.
func (c *Client[T]) Leave(s Stream[T], code frame.StatusCode) {
	d := s.Data()
	if d.state != Open {
		return
	}
	d.state = Leaving
	s.SetDue(c.loop.Deadline(c.timeout))
	c.say(s, c.frame.AppendCloseFrame(c.output(s), code, ""))
}

// output returns what something for s is appended to: all else that its event says, or the
// free end of that buffer if the event is another's.
func (c *Client[T]) output(s Stream[T]) []byte {
	if s.Slot() == c.current {
		return c.out
	}
	return c.out[len(c.out):]
}

// say takes what output returned, with something for s. It leaves at the end of the event,
// or at once if that is another's.
func (c *Client[T]) say(s Stream[T], out []byte) {
	if s.Slot() == c.current {
		c.out = out
		return
	}
	s.Write(out)
	if len(c.out) == 0 && cap(out) > cap(c.out) {
		c.out = out[:0] // it grew, and nothing of the event lies in the old one
	}
}

// flush sends what was said during an event of s.
func (c *Client[T]) flush(s Stream[T]) {
	if len(c.out) > 0 {
		s.Write(c.out)
		c.out = c.out[:0]
	}
}
