//go:build linux

package load

import (
	"errors"
	"time"

	"github.com/usher-ws/usher/client"
	"github.com/usher-ws/usher/frame"
)

// side is a Client as its connections see it: a client.Owner, and with what the client's
// side of a WebSocket is, a stream.Handler.
type side struct {
	*client.Client[uint32]
	c *Client
}

func numberOf(s link) int { return int(s.Data().Tag) }

// Request is client.Owner's.
func (o *side) Request(s link) *client.Request {
	i := numberOf(s)
	r := &o.c.requests[i%len(o.c.requests)]
	if o.c.cfg.Request.Token != nil && s.Data().State() != client.Asked {
		r.Token = o.c.cfg.Request.Token(i)
	}
	return r
}

// Upgraded is client.Owner's.
func (o *side) Upgraded(s link, _ *client.Response) {
	c := o.c
	c.onWay--
	c.opened++
	c.tally.Opened++
	c.player.Opened(numberOf(s))
}

// Refused is client.Owner's.
func (o *side) Refused(s link, r *client.Response) { o.c.player.Answered(numberOf(s), r) }

// Message is client.Owner's.
func (o *side) Message(s link, op frame.Opcode, data []byte) {
	o.c.player.Message(numberOf(s), op, data)
}

// Pong is client.Owner's.
func (o *side) Pong(s link) {
	if o.c.ponger != nil {
		o.c.ponger.Pong(numberOf(s))
	}
}

// Closed is client.Owner's.
func (o *side) Closed(s link, end client.End) {
	c := o.c
	c.worked = true
	switch s.Data().State() {
	case client.Dialing, client.Securing, client.Asked:
		c.onWay--
	case client.Open:
		c.opened--
	}
	if !c.over {
		c.closed(numberOf(s), end)
	}
}

// Input is stream.Handler's.
func (o *side) Input(s link, b []byte, eof bool) {
	c := o.c
	c.worked = true
	if !eof {
		c.at = c.Now()
		c.tally.BytesIn += uint64(len(b))
	}
	o.Client.Input(s, b, eof)
}

// Turn is stream.Handler's, and ends a pass: connections that wait are dialed, and the
// player has its turn. The next comes shortly before the player wants it; the rest of the
// time until then the loop spins.
func (o *side) Turn(time.Duration) (next time.Duration) {
	c, now := o.c, o.c.Now()
	sent := c.loop.Sent()
	if c.spinning && !c.worked && sent == c.sent {
		c.spun += now - c.last
	}
	c.last, c.worked, c.sent = now, false, sent
	c.dialQueued()
	turn := c.player.Turn(now)
	next = now + turnEvery
	c.spinning = turn != 0 && turn-spinAhead <= now
	if turn != 0 {
		next = max(min(next, turn-spinAhead), 1)
	}
	if c.spinning {
		c.loop.Spin(turn)
	}
	return next
}

// Failed is stream.Handler's.
func (o *side) Failed(err error) {
	o.c.err = errors.Join(errors.New("load: the event loop ended"), err)
	close(o.c.done)
}
