package upgrade

import (
	"fmt"
	"io"
	"time"

	"github.com/usher-ws/usher/frame"
)

// CloseError is why a Conn has ended: the peer's close frame.
type CloseError struct {
	Code   frame.StatusCode // frame.StatusNoStatusRcvd if the frame had none
	Reason string
}

// Error names the code and quotes the reason.
func (e *CloseError) Error() string {
	text := "upgrade: the peer closed with " + e.Code.String()
	if e.Reason != "" {
		text += fmt.Sprintf(": %q", e.Reason)
	}
	return text
}

// closeTime is how long the peer has for its close frame.
const closeTime = 5 * time.Second

// Close ends the connection, so that what was written before arrives, and closes the
// net.Conn. It says code and reason in a close frame, unless the peer was first, and reads
// until the peer has closed, too, dropping all messages; the server's end then says FIN
// and waits until the client hangs up, the client's end for the server to. That takes no
// more than 7 s, whatever the peer does. To cut it short close the net.Conn.
//
// The first call counts; others wait for it, and get its error: nil if the peer closed
// with a close frame, and else why it did not. Calls of ReadMessage and WriteMessage that
// are under way end with net.ErrClosed or the net.Conn's error; a message that was
// returned stays valid until the next call.
//
// code and reason are as for frame.AppendCloseFrame: 0 is a close frame without either, a
// reason is cut after 123 bytes, and a code that must not be sent goes out as 1011.
func (c *Conn) Close(code frame.StatusCode, reason string) error {
	c.once.Do(func() { c.closeErr = c.close(code, reason) })
	return c.closeErr
}

func (c *Conn) close(code frame.StatusCode, reason string) error {
	c.closing.Store(true)
	defer time.AfterFunc(closeTime+lingerTime, func() { c.conn.Close() }).Stop() // whatever deadlines are set meanwhile
	_ = c.conn.SetDeadline(time.Now().Add(closeTime))                            // for a writer that waits, too
	if err := c.sayClose(code, reason); err != nil {
		c.conn.Close()
		return err
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	// The message that was returned last may be in what was read into, and be looked at.
	c.small, c.large, c.filled = make([]byte, readSize), nil, false
	_, err := c.next()
	c.hangUp()
	if c.heard {
		return nil
	}
	return err
}

// sayClose writes the close frame, if one is to be said.
func (c *Conn) sayClose(code frame.StatusCode, reason string) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.expires != nil {
		c.expires.Stop()
	}
	if code != 0 && code != frame.StatusNoStatusRcvd && !code.Sendable() {
		code = frame.StatusInternalError
	}
	out := c.output()
	*out, _ = c.out.AppendClose(*out, code, reason) // ErrClosed: the reader has answered
	return c.send()
}

// hangUp closes conn. When both sides have closed, it is the server that hangs up first,
// RFC 6455 §7.1.1.
func (c *Conn) hangUp() {
	_, hasFIN := c.conn.(interface{ CloseWrite() error })
	switch {
	case c.heard && c.cfg.Client:
		_ = c.conn.SetDeadline(time.Now().Add(lingerTime))
		_, _ = io.CopyN(io.Discard, c.conn, lingerBytes)
	case c.heard && !hasFIN: // nothing more will come that could undo what we said
	default:
		Linger(c.conn)
	}
	c.conn.Close()
}
