package upgrade

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/usher-ws/usher/frame"
)

// Conn is a WebSocket connection over a net.Conn, in either role, for a program that
// has a goroutine for each:
//
//	defer c.Close(frame.StatusNormalClosure, "")
//	for {
//		op, msg, err := c.ReadMessage()
//		if err != nil {
//			return
//		}
//		…
//	}
//
// It answers pings and the peer's close, tells the peer what it did wrong, and pings a
// peer that is silent; all that happens within ReadMessage, so a program that only
// writes reads as well, if only to drop what it hears.
//
// One goroutine at a time calls ReadMessage. WriteMessage and Close may be called from
// any, beside each other and beside ReadMessage. Every Conn wants a Close, which is the
// only thing that closes the net.Conn. There is no context: Close ends the other calls,
// so context.AfterFunc can do it.
type Conn struct {
	// Settings, for between NewConn and the first call; read only from there on.

	// MaxMessage is the largest message to be read, in bytes, compressed and not: 0 is
	// frame.DefaultMaxMessage, less is no limit. The peer of a larger one is told 1009.
	MaxMessage int

	// IdleTimeout is how long the peer may be silent while ReadMessage waits; after half
	// of it the peer is pinged. 0 is a minute. Less is no limit and no ping; then the
	// net.Conn may be given read deadlines, and after one has passed another.
	IdleTimeout time.Duration

	// WriteTimeout is how long the peer may take nothing while something is written, a
	// pong too. 0 is 30 seconds. Less is no limit; then the net.Conn may be given write
	// deadlines.
	WriteTimeout time.Duration

	conn    net.Conn
	cfg     frame.Config
	expires *time.Timer // closes it when its token ends; nil: nothing does

	// Reading.
	reading sync.Mutex
	in      frame.Protocol
	small   []byte     // what is read into
	large   *largeRead // more of it, borrowed while reads fill what they have; else nil
	filled  bool       // the last read did
	readErr error      // why nothing more will be read
	heard   bool       // the peer's close frame

	// Writing. It has a Protocol of its own, so that writers need not wait for the
	// reader, and the reader hears the peer's close after ours was said.
	writing  sync.Mutex
	out      frame.Protocol
	waiting  *[]byte // frames to be written, from outputs; nil: none
	writeErr error   // why nothing more can be written

	// Closing.
	closing  atomic.Bool
	once     sync.Once
	closeErr error
}

const (
	defaultIdle  = time.Minute      // as long as nginx waits for either side
	defaultWrite = 30 * time.Second // as the engine's
)

// NewConn returns the server's end of a connection that Upgrade or UpgradeHTTP let in,
// from what they returned. The early bytes are copied, and read before anything else.
// permessage-deflate is spoken if r says that it was agreed on; r may be nil if another
// made the handshake, and agreed on nothing.
//
// If r has an Identity whose token ends, the connection ends with it: 4401 token_expired.
func NewConn(conn net.Conn, r *Request, early []byte) *Conn {
	c := newConn(conn, false, early)
	if r == nil {
		return c
	}
	c.enableDeflate(frame.Window(r.Deflate()))
	if id := r.Identity; id != nil && !id.ExpiresAt.IsZero() {
		c.writing.Lock() // the timer may be quick
		defer c.writing.Unlock()
		c.expires = time.AfterFunc(time.Until(id.ExpiresAt), func() {
			_ = c.Close(statusTokenExpired, CodeTokenExpired)
		})
	}
	return c
}

// statusTokenExpired is 401 in the range for applications, RFC 6455 §7.4.2.
const statusTokenExpired frame.StatusCode = 4401

// NewClientConn returns the client's end of a connection that a dialler made, whose
// handshake is complete. early is what the server said behind its 101: a dialler that
// read too much has it in a bufio.Reader, as gobwas/ws's. It is copied.
//
// window is 0 unless the server's answer agreed on permessage-deflate, and then has
// server_no_context_takeover, which the offer must have asked for. It says how far back
// our messages may refer: the answer's client_max_window_bits, or frame.MaxWindow.
func NewClientConn(conn net.Conn, window frame.Window, early []byte) *Conn {
	c := newConn(conn, true, early)
	c.enableDeflate(window)
	return c
}

func newConn(conn net.Conn, client bool, early []byte) *Conn {
	c := &Conn{conn: conn, small: make([]byte, max(readSize, len(early)))}
	c.cfg = frame.Config{Client: client, Buffers: lender{&c.closing}}
	c.in.Resume(&c.cfg, frame.State{}, nil)
	c.out.Resume(&c.cfg, frame.State{}, nil)
	c.in.Receive(c.small[:copy(c.small, early)])
	return c
}

func (c *Conn) enableDeflate(w frame.Window) {
	c.in.EnableDeflate(w)
	c.out.EnableDeflate(w)
}

// ReadMessage returns the next message, frame.OpText or frame.OpBinary. msg is valid
// until the next call, and the caller may write to it; text is UTF-8.
//
// The error is
//   - a *CloseError if the peer closed the connection; it has been answered;
//   - a *frame.ProtocolError if the peer broke the protocol (1002), sent text that is
//     not UTF-8 (1007) or too large a message (1009); it has been told;
//   - io.ErrUnexpectedEOF if the peer hung up without a close frame, between messages
//     or within one; it may still read what is written;
//   - os.ErrDeadlineExceeded if the peer was silent for too long: the call may be
//     repeated, and nothing is lost;
//   - net.ErrClosed after Close, also for a call that was waiting;
//   - what the net.Conn failed with.
//
// io.ErrUnexpectedEOF and os.ErrDeadlineExceeded are to be tested with errors.Is.
func (c *Conn) ReadMessage() (op frame.Opcode, msg []byte, err error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	c.cfg.MaxMessage = c.MaxMessage
	ev, err := c.next()
	if c.closing.Load() {
		return 0, nil, net.ErrClosed
	}
	if err != nil {
		return 0, nil, err
	}
	return ev.Opcode, ev.Data, nil
}

// next returns the next message. Once the connection is closing there are none, and it
// reads until the peer closes, too. The caller holds reading.
func (c *Conn) next() (*frame.Event, error) {
	for c.readErr == nil {
		ev := c.in.NextEvent()
		switch ev.Kind {
		case frame.MessageEvent:
			if !c.closing.Load() {
				_ = c.flush() // the next read says so again
				return ev, nil
			}
		case frame.PingEvent:
			c.reply(ev)
		case frame.CloseEvent:
			c.heard, c.readErr = true, &CloseError{ev.Code, string(ev.Data)}
			c.reply(ev)
			_ = c.flush() // and if it does not arrive, the peer is gone
		case frame.ErrorEvent:
			c.readErr = ev.Err
			c.reply(ev)
			_ = c.flush()
		case frame.NoEvent:
			if err := c.receive(); err != nil {
				return nil, err
			}
		}
	}
	return nil, c.readErr
}
