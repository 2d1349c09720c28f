package upgrade

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// receive reads once, for as long as the peer may be silent. Its error is final if it is
// in c.readErr. The caller holds reading.
func (c *Conn) receive() error {
	if err := c.flush(); err != nil {
		c.readErr = fmt.Errorf("upgrade: the peer takes no pong: %v", err) // not a timeout of the reading
		return c.readErr
	}
	b := c.room()
	n, err := c.read(b)
	c.filled = n == len(b)
	switch {
	case n > 0: // an error comes again
		c.in.Receive(b[:n])
		return nil
	case err == io.EOF:
		c.readErr = errNoClose
		return c.readErr
	case err != nil && !errors.Is(err, os.ErrDeadlineExceeded):
		c.readErr = err
	}
	return err
}

var errNoClose = fmt.Errorf("upgrade: the peer hung up without a close frame: %w", io.ErrUnexpectedEOF)

// read is conn's. A peer that is silent for half of the time is pinged.
func (c *Conn) read(b []byte) (n int, err error) {
	if c.closing.Load() { // Close has set the deadline
		return c.conn.Read(b)
	}
	idle := cmp.Or(c.IdleTimeout, defaultIdle)
	if idle < 0 {
		return c.conn.Read(b)
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(idle / 2)) // Read reports what matters
	n, err = c.conn.Read(b)
	if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || c.closing.Load() {
		return n, err
	}
	if err := c.ping(); err != nil {
		return 0, err
	}
	_ = c.conn.SetReadDeadline(time.Now().Add(idle / 2))
	return c.conn.Read(b)
}

// readSize is what a connection keeps. With a largeRead an echo of 16 KiB, or of 64, takes
// two thirds of the time (interop BenchmarkConn).
const readSize = 4 << 10

type largeRead [64 << 10]byte

var largeReads = sync.Pool{New: func() any { return new(largeRead) }}

// room returns memory to read into. All that was read before is used up.
func (c *Conn) room() []byte {
	switch {
	case c.filled && c.large == nil:
		c.large = largeReads.Get().(*largeRead)
	case !c.filled && c.large != nil:
		largeReads.Put(c.large)
		c.large = nil
	}
	if c.large != nil {
		return c.large[:]
	}
	return c.small
}

// lender lends memory for what straddles reads. When the connection is closing none comes
// back: the message that was returned last may be in it, and still be looked at.
type lender struct{ closing *atomic.Bool }

var loans = sync.Pool{New: func() any { return new([]byte) }}

func (l lender) Get(n int) []byte {
	if b := loans.Get().(*[]byte); cap(*b) >= n {
		return *b
	}
	return make([]byte, 0, n)
}

func (l lender) Put(b []byte) {
	if !l.closing.Load() {
		loans.Put(&b)
	}
}
