package upgrade

import (
	"cmp"
	"net"
	"sync"
	"time"

	"github.com/usher-ws/usher/frame"
)

// WriteMessage writes msg as one message and returns when the net.Conn has it all. op is
// frame.OpText or frame.OpBinary, else the error is frame.ErrOpcode; that text is UTF-8 is
// the caller's word. msg is not kept, and not altered.
//
// The error is net.ErrClosed after Close, or once the peer has closed or was told what it
// did wrong. What the net.Conn failed with, a timeout too, is every later call's error:
// half a message may be out.
func (c *Conn) WriteMessage(op frame.Opcode, msg []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	out := c.output()
	var err error
	switch *out, err = c.out.AppendMessage(*out, op, msg); err {
	case nil:
		return c.send()
	case frame.ErrClosed:
		return net.ErrClosed
	}
	return err
}

// ping asks a silent peer for a sign of life. A connection that is closing needs none.
func (c *Conn) ping() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	out := c.output()
	var err error
	if *out, err = c.out.AppendPing(*out, nil); err != nil {
		return nil
	}
	return c.send()
}

// reply adds what ev is answered with to what waits: many pings are answered with one
// write, which may be that of a message.
func (c *Conn) reply(ev *frame.Event) {
	c.writing.Lock()
	defer c.writing.Unlock()
	out := c.output()
	*out = c.out.AppendReply(*out, ev)
}

// flush writes what waits. There is no error if nothing does.
func (c *Conn) flush() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.waiting == nil {
		return nil
	}
	return c.send()
}

// writeSize is what a peer has the whole WriteTimeout for.
const writeSize = 128 << 10

// outputs holds memory for the time of a write. It grows to twice the largest message,
// and the garbage collector takes it back.
var outputs = sync.Pool{New: func() any { return new([]byte) }}

// output returns what waits, to be appended to. The caller holds writing.
func (c *Conn) output() *[]byte {
	if c.waiting == nil {
		c.waiting = outputs.Get().(*[]byte)
	}
	return c.waiting
}

// send writes what waits, if anything does. The caller holds writing.
func (c *Conn) send() error {
	for b := *c.output(); len(b) > 0 && c.writeErr == nil; {
		if !c.closing.Load() { // else Close has set the deadline
			if timeout := cmp.Or(c.WriteTimeout, defaultWrite); timeout > 0 {
				_ = c.conn.SetWriteDeadline(time.Now().Add(timeout)) // Write reports what matters
			}
		}
		n, err := c.conn.Write(b[:min(len(b), writeSize)])
		b, c.writeErr = b[n:], err
	}
	*c.waiting = (*c.waiting)[:0]
	outputs.Put(c.waiting)
	c.waiting = nil
	return c.writeErr
}
