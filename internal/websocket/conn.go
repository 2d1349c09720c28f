package websocket

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
)

// The types of messages.
const (
	TextMessage   = int(ws.OpText)
	BinaryMessage = int(ws.OpBinary)
	CloseMessage  = int(ws.OpClose)
	PingMessage   = int(ws.OpPing)
	PongMessage   = int(ws.OpPong)
)

// The codes of a close that tests speak of.
const (
	CloseNormalClosure           = 1000
	CloseGoingAway               = 1001
	CloseProtocolError           = 1002
	CloseUnsupportedData         = 1003
	CloseNoStatusReceived        = 1005
	CloseAbnormalClosure         = 1006
	CloseInvalidFramePayloadData = 1007
	ClosePolicyViolation         = 1008
	CloseMessageTooBig           = 1009
	CloseInternalServerErr       = 1011
	CloseServiceRestart          = 1012
	CloseTryAgainLater           = 1013
)

// ErrCloseSent is a write's after a close was sent.
var ErrCloseSent = errors.New("websocket: close sent")

// CloseError is ReadMessage's when the server has closed; Code is CloseNoStatusReceived if it
// said none, and CloseAbnormalClosure if the connection ended without a close.
type CloseError struct {
	Code int
	Text string
}

func (e *CloseError) Error() string {
	return fmt.Sprintf("websocket: close %d %s", e.Code, e.Text)
}

// IsCloseError reports whether err is a CloseError of one of the codes.
func IsCloseError(err error, codes ...int) bool {
	if e, ok := err.(*CloseError); ok {
		for _, code := range codes {
			if e.Code == code {
				return true
			}
		}
	}
	return false
}

// FormatCloseMessage returns the payload of a close; that of CloseNoStatusReceived is empty.
func FormatCloseMessage(code int, text string) []byte {
	if code == CloseNoStatusReceived {
		return []byte{}
	}
	return append(binary.BigEndian.AppendUint16(nil, uint16(code)), text...)
}

// Conn is a connection to a server. One goroutine at a time may read, and one write;
// WriteControl and Close may be called at any time.
type Conn struct {
	conn     net.Conn
	br       *bufio.Reader
	protocol string
	deflate  bool
	level    int // of deflate
	buffer   int // in bytes: the longest fragment that is sent
	ping     func(string) error
	pong     func(string) error
	readErr  error // ReadMessage's from now on

	writing       chan struct{} // holds one while nobody writes a frame
	writeErr      error         // of all writes to come; with writing
	writeDeadline time.Time
}

func newConn(nc net.Conn, br *bufio.Reader, buffer int, deflate bool, protocol string) *Conn {
	c := &Conn{conn: nc, br: br, buffer: buffer, deflate: deflate, level: flate.BestSpeed, protocol: protocol, writing: make(chan struct{}, 1)}
	c.writing <- struct{}{}
	c.SetPingHandler(nil)
	c.SetPongHandler(nil)
	return c
}

// SetPingHandler has f called by ReadMessage for each ping. For nil, a pong is sent.
func (c *Conn) SetPingHandler(f func(data string) error) {
	if f == nil {
		f = func(data string) error {
			err := c.WriteControl(PongMessage, []byte(data), time.Now().Add(time.Second))
			var netErr net.Error
			if err == ErrCloseSent || errors.As(err, &netErr) {
				return nil
			}
			return err
		}
	}
	c.ping = f
}

// SetPongHandler has f called by ReadMessage for each pong. For nil, nothing happens.
func (c *Conn) SetPongHandler(f func(data string) error) {
	if f == nil {
		f = func(string) error { return nil }
	}
	c.pong = f
}

// Subprotocol returns what was agreed on.
func (c *Conn) Subprotocol() string { return c.protocol }

// LocalAddr returns the client's address.
func (c *Conn) LocalAddr() net.Addr { return c.conn.LocalAddr() }

// RemoteAddr returns the server's address.
func (c *Conn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

// NetConn returns the connection below.
func (c *Conn) NetConn() net.Conn { return c.conn }

// UnderlyingConn is NetConn.
func (c *Conn) UnderlyingConn() net.Conn { return c.conn }

// SetReadDeadline sets the deadline of reads.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.conn.SetReadDeadline(t) }

// SetWriteDeadline sets the deadline of WriteMessage.
func (c *Conn) SetWriteDeadline(t time.Time) error { c.writeDeadline = t; return nil }

// Close closes the connection below, without a close frame.
func (c *Conn) Close() error { return c.conn.Close() }

// WriteMessage sends a message, in fragments if it is longer than the buffer.
func (c *Conn) WriteMessage(messageType int, data []byte) error {
	op := ws.OpCode(messageType)
	if op.IsControl() {
		return c.WriteControl(messageType, data, c.writeDeadline)
	}
	rsv := byte(0)
	if c.deflate {
		f, err := c.compress(ws.NewFrame(op, true, data))
		if err != nil {
			return err
		}
		data, rsv = f.Payload, f.Header.Rsv
	}
	for {
		n := min(len(data), c.buffer)
		if err := c.write(ws.Header{Fin: n == len(data), Rsv: rsv, OpCode: op}, data[:n], c.writeDeadline); err != nil || n == len(data) {
			return err
		}
		data, op, rsv = data[n:], ws.OpContinuation, 0
	}
}

func (c *Conn) compress(f ws.Frame) (ws.Frame, error) {
	h := wsflate.Helper{Compressor: func(w io.Writer) wsflate.Compressor {
		z, _ := flate.NewWriter(w, c.level) // a level that SetCompressionLevel has let in
		return z
	}}
	return h.CompressFrame(f)
}

// SetCompressionLevel sets the level of flate for messages to come; it is 1 at first.
func (c *Conn) SetCompressionLevel(level int) error {
	if _, err := flate.NewWriter(nil, level); err != nil {
		return err
	}
	c.level = level
	return nil
}

// WriteControl sends a control frame; zero is no deadline.
func (c *Conn) WriteControl(messageType int, data []byte, deadline time.Time) error {
	op := ws.OpCode(messageType)
	if !op.IsControl() || len(data) > ws.MaxControlFramePayloadSize {
		return errors.New("websocket: not a control frame")
	}
	return c.write(ws.Header{Fin: true, OpCode: op}, data, deadline)
}

// write sends a frame, masked, in one write. After a close and after an error there are no
// more of them.
func (c *Conn) write(h ws.Header, data []byte, deadline time.Time) error {
	var late <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-c.writing:
		defer func() { c.writing <- struct{}{} }()
	case <-late:
		return os.ErrDeadlineExceeded
	}
	if c.writeErr != nil {
		return c.writeErr
	}
	h.Masked, h.Mask, h.Length = true, ws.NewMask(), int64(len(data))
	var frame bytes.Buffer
	if err := ws.WriteHeader(&frame, h); err != nil {
		return err
	}
	n := frame.Len()
	frame.Write(data)
	ws.Cipher(frame.Bytes()[n:], h.Mask, 0)
	_ = c.conn.SetWriteDeadline(deadline)
	if _, c.writeErr = c.conn.Write(frame.Bytes()); c.writeErr != nil {
		return c.writeErr
	}
	if h.OpCode == ws.OpClose {
		c.writeErr = ErrCloseSent
	}
	return nil
}
