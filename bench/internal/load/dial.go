//go:build linux

package load

import (
	"net/netip"

	"github.com/usher-ws/usher/client"
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
)

// link is a connection of the loop, which keeps its number.
type link = client.Stream[uint32]

// place is where a connection is to be found, by its number: the slot of its stream, or one
// of these. It takes 4 bytes.
type place uint32

const (
	unused place = 0         // no stream has this slot
	queued place = 1<<32 - 1 // waits for its turn to dial
)

// link returns the stream of connection i, and false if it has none.
func (c *Client) link(i int) (link, bool) {
	switch at := c.places[i]; at {
	case unused, queued:
		return link{}, false
	default:
		return c.loop.At(uint32(at)), true
	}
}

// Dial opens connection i, now or when fewer than Config.AtOnce are on their way.
// It does nothing to one that is not unused.
func (c *Client) Dial(i int) {
	if c.places[i] == unused {
		c.places[i] = queued
		c.queue = append(c.queue, uint32(i))
	}
}

// dialQueued dials the connections that wait, as far as there is room. One that the
// kernel refuses at once does not stop the others, and waits for the next turn if it is
// dialed again.
func (c *Client) dialQueued() {
	n, most := 0, len(c.queue)
	for ; n < most && c.onWay < c.atOnce; n++ {
		if i := int(c.queue[n]); c.places[i] == queued {
			c.dial(i)
		}
	}
	if n > 0 {
		c.queue = c.queue[:copy(c.queue, c.queue[n:])]
	}
}

// dial begins to connect, from the next of our addresses if there are any.
func (c *Client) dial(i int) {
	var source netip.Addr
	if len(c.cfg.Sources) > 0 {
		source = c.cfg.Sources[c.aim%len(c.cfg.Sources)]
		c.aim++
	}
	c.tally.Dialed++
	s, err := c.connect(i, source)
	if err != nil {
		c.closed(i, client.End{Kind: client.CannotConnect, Code: client.Errno(err)})
		return
	}
	c.onWay++
	c.places[i] = place(s.Slot())
}

// connect begins to connect, with a handshake of TLS behind it if the target has a name.
func (c *Client) connect(i int, source netip.Addr) (link, error) {
	k := i % len(c.cfg.Targets)
	to := c.cfg.Targets[k].Addr
	if config := c.secure[k]; config != nil {
		return c.ws.DialTLS(to, source, uint32(i), config)
	}
	return c.ws.Dial(to, source, uint32(i))
}

// Leave says goodbye to connection i as RFC 6455 §7.1.2 wants it: a close frame,
// then the server's, or its end of the stream, then ours.
func (c *Client) Leave(i int, code frame.StatusCode) {
	if s, ok := c.link(i); ok && s.Data().State() == client.Open {
		c.opened--
		c.ws.Leave(s, code)
	}
}

// Hang closes connection i without a word.
func (c *Client) Hang(i int) {
	if s, ok := c.link(i); ok {
		s.Cut(nil)
	} else if c.places[i] == queued {
		c.closed(i, client.End{})
	}
}

// Reset closes connection i with a RST, as a machine does that was switched off
// and on.
func (c *Client) Reset(i int) {
	if s, ok := c.link(i); ok {
		s.Reset(nil)
	} else {
		c.Hang(i)
	}
}

// closed is the one exit: the fault is counted, and the player is told.
func (c *Client) closed(i int, end client.End) {
	c.places[i] = unused
	f := Fault{Kind(end.Kind), end.Code}
	if end.Reason != "" {
		c.tally.Told.Add(f.String()+": "+end.Reason, 1)
	}
	if f != (Fault{}) {
		c.tally.Faults.Add(f, 1)
	}
	c.player.Closed(i, f)
}

// Pause stops reading from connection i: what the server says fills the kernel's
// buffers, and then the server's.
func (c *Client) Pause(i int) {
	if s, ok := c.link(i); ok && s.Data().State() == client.Open {
		s.Hold(stream.Custom)
	}
}

// Resume undoes Pause.
func (c *Client) Resume(i int) {
	if s, ok := c.link(i); ok {
		s.Go(stream.Custom)
	}
}

// Send sends one message to connection i, which must be open: head followed by
// tail. Within an event of that connection everything said leaves in one send,
// when the event is over; else it leaves at once.
func (c *Client) Send(i int, op frame.Opcode, head, tail []byte) {
	if s, ok := c.link(i); ok && c.ws.Send(s, op, head, tail) {
		c.tally.Sent++
	}
}

// SendRaw sends bytes that need not be frames, to a connection that is open or has asked.
func (c *Client) SendRaw(i int, b []byte) {
	s, ok := c.link(i)
	if !ok {
		return
	}
	switch s.Data().State() {
	case client.Asked, client.Open:
		s.Write(b)
	}
}

// Backlog returns how many bytes to connection i the kernel has not taken yet.
func (c *Client) Backlog(i int) int {
	if s, ok := c.link(i); ok {
		return s.Waiting()
	}
	return 0
}
