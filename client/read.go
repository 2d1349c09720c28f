//go:build linux

package client

import (
	"net/http"
	"unicode/utf8"

	"github.com/usher-ws/usher/frame"
)

// readAnswer reads the response to the request, and frames behind it.
func (c *Client[T]) readAnswer(s Stream[T], b []byte) {
	buffers := &c.loop.Buffers
	head := s.Extra().head
	if head != nil {
		head = buffers.Append(head, b)
		s.NeedExtra().head, b = head, head
	}
	r, n, err := ParseResponse(b, false)
	switch {
	case err != nil:
		s.Cut(End{Kind: BadAnswer})
		return
	case n == 0:
		if head == nil {
			s.NeedExtra().head = buffers.Append(nil, b)
		}
		return
	case r.Status != http.StatusSwitchingProtocols:
		if c.refused(s, r); !hasEnded(s) {
			s.Cut(End{Kind: Refused, Code: r.Status})
		}
		return
	case r.check(c.owner.Request(s), c.key(s)) != nil:
		s.Cut(End{Kind: BadAnswer, Code: r.Status})
		return
	}
	if head != nil {
		s.NeedExtra().head = nil
		s.TrimExtra()
		defer buffers.Put(head)
	}
	c.open(s, r, b[n:])
}

// refused tells the owner of an answer that is no upgrade.
func (c *Client[T]) refused(s Stream[T], r Response) {
	outer := c.answer // a callback may write to another stream, which then ends
	c.answer = r
	c.owner.Refused(s, &c.answer)
	c.answer = outer
}

// open begins the life of frames, of which rest are the first.
func (c *Client[T]) open(s Stream[T], r Response, rest []byte) {
	s.Data().state = Open
	s.SetDue(0)
	c.answer = r
	c.owner.Upgraded(s, &c.answer) // not within another callback: input has come
	c.answer = Response{}
	if len(rest) > 0 && !hasEnded(s) {
		c.readFrames(s, rest)
	}
}

// readFrames hands on what frames say.
func (c *Client[T]) readFrames(s Stream[T], b []byte) {
	d := s.Data()
	q := s.Extra().partial
	if q != nil {
		s.NeedExtra().partial = nil // it is the protocol's meanwhile
	} else if b = c.short(s, b); len(b) == 0 || hasEnded(s) {
		return
	}
	c.proto.Resume(&c.frame, d.frame, q)
	c.proto.Receive(b)
	end, over := c.events(s)
	state, q := c.proto.Suspend()
	if hasEnded(s) {
		q.Release(&c.frame)
		return
	}
	d.frame = state
	if q != nil {
		s.NeedExtra().partial = q
	} else {
		s.TrimExtra()
	}
	if over {
		if c.flush(s); !hasEnded(s) {
			s.Cut(end)
		}
	}
}

// short hands on the whole, short messages that b begins with, which is most often all
// there is, and returns the rest. A server's frames are not masked, so that there is
// nothing to do but to look (RFC 6455 §5.2).
func (c *Client[T]) short(s Stream[T], b []byte) []byte {
	const (
		finText   = 0x80 | byte(frame.OpText)
		finBinary = 0x80 | byte(frame.OpBinary)
		long      = 126 // or masked
	)
	d := s.Data()
	for d.state == Open && len(b) >= 2 && b[1] < long {
		n := 2 + int(b[1])
		if n > len(b) || b[0] != finBinary && (b[0] != finText || !utf8.Valid(b[2:n])) {
			break
		}
		c.owner.Message(s, frame.Opcode(b[0]&0x0F), b[2:n:n])
		b = b[n:]
	}
	return b
}

// events hands on what the protocol finds. over says that nothing follows, and end why.
// After our own close frame we say nothing more (RFC 6455 §5.5.1).
func (c *Client[T]) events(s Stream[T]) (end error, over bool) {
	d := s.Data()
	for !hasEnded(s) {
		ev := c.proto.NextEvent()
		if ev.Kind == frame.NoEvent {
			break
		}
		isOpen := d.state == Open
		switch ev.Kind {
		case frame.MessageEvent:
			if isOpen {
				c.owner.Message(s, ev.Opcode, ev.Data)
			}
			continue
		case frame.PongEvent:
			c.owner.Pong(s)
			continue
		case frame.CloseEvent:
			over = true
			if isOpen {
				end = End{Kind: Closed, Code: int(ev.Code), Reason: string(ev.Data)}
			}
		case frame.ErrorEvent:
			over, end = true, End{Kind: Broken, Code: int(ev.Code)}
		}
		if isOpen {
			c.out = c.proto.AppendReply(c.out, ev)
		}
	}
	return end, over
}
