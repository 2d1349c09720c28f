//go:build linux

package client

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/usher-ws/usher/frame"
)

// Send sends one message to s, and reports false if that is not Open: head followed by tail,
// which are not kept. Bytes that are not one message can be written to the stream itself.
func (c *Client[T]) Send(s Stream[T], op frame.Opcode, head, tail []byte) bool {
	if s.Data().state != Open {
		return false
	}
	c.say(s, op, head, tail)
	return true
}

// Leave says goodbye to s if that is Open, as RFC 6455 §7.1.2 wants it: a close frame, then
// the server's, or its end of the stream, then ours. Messages that come meanwhile are lost.
// The code must be Sendable.
func (c *Client[T]) Leave(s Stream[T], code frame.StatusCode) {
	d := s.Data()
	if d.state != Open {
		return
	}
	d.state = Leaving
	s.SetDue(c.loop.Deadline(c.timeout))
	c.say(s, frame.OpClose, []byte{byte(code >> 8), byte(code)}, nil)
}

// say sends a frame, with all else of the event if there is one.
func (c *Client[T]) say(s Stream[T], op frame.Opcode, head, tail []byte) {
	if s.Slot() == c.current {
		c.out = AppendMessage(c.out, op, head, tail)
		return
	}
	out := AppendMessage(c.borrow(), op, head, tail)
	s.Write(out)
	c.giveBack(out)
}

// AppendMessage appends one masked frame, its payload head followed by tail. The key is
// fresh for each, as RFC 6455 §5.3 wants it.
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

// flush sends what was said during an event of s.
func (c *Client[T]) flush(s Stream[T]) {
	if len(c.out) > 0 {
		s.Write(c.out)
		c.out = c.out[:0]
	}
}

// borrow returns the free end of the output buffer, for something that leaves while an
// event of another connection is being handled.
func (c *Client[T]) borrow() []byte { return c.out[len(c.out):] }

// giveBack keeps a buffer that grew, if nothing of the current event lies in the old one.
func (c *Client[T]) giveBack(b []byte) {
	if len(c.out) == 0 && cap(b) > cap(c.out) {
		c.out = b[:0]
	}
}
