//go:build linux

package client

import (
	"cmp"
	"crypto/tls"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
	"golang.org/x/sys/unix"
)

// Owner decides what is said over the connections of a Client. All methods are called on
// the loop and must not block. They may call any method of the Client and of its streams,
// but nothing may be asked of a stream that has ended.
type Owner[T any] interface {
	// Request returns what to ask for: s has connected, and is Dialing or, with TLS, Securing.
	// It is asked again when the answer has come, to see whether that fits: then s is Asked, and a Token
	// does not matter. It is valid until the next call.
	Request(s Stream[T]) *Request
	// Upgraded says that s is Open. r is valid until the callback returns.
	Upgraded(s Stream[T], r *Response)
	// Refused says that s got another answer than an upgrade; Closed follows. r is valid
	// until the callback returns.
	Refused(s Stream[T], r *Response)
	// Message hands over a message of s, which is Open; data is valid until the callback
	// returns.
	Message(s Stream[T], op frame.Opcode, data []byte)
	// Pong says that s got one.
	Pong(s Stream[T])
	// Closed says how s ended. Nothing can be sent any more, but its Session can still be
	// asked.
	Closed(s Stream[T], end End)
}

// Config has the limits of a Client. The zero value is useful.
type Config struct {
	// Timeout is for connecting together with the answer, and for the close; 0: 10 s. It is
	// exact to stream.TickLength.
	Timeout time.Duration

	// MaxMessage is the largest message accepted, in bytes; 0: 16 MiB.
	MaxMessage int
}

const (
	defaultTimeout    = 10 * time.Second
	defaultMaxMessage = 16 << 20
)

// Client is the client's side of the connections of a loop: a stream.Handler. A program that
// has more to do on the loop, or other streams there, embeds it in a Handler of its own.
type Client[T any] struct {
	loop    *Loop[T]
	owner   Owner[T]
	timeout time.Duration
	seed    uint64 // of the keys

	// Memory every connection uses in turn.
	proto   frame.Protocol
	frame   frame.Config
	answer  Response // that the owner is told of
	out     []byte   // said during an event of current
	current uint32   // the slot of the stream whose input is handled; 0: none
}

// New makes the client of a loop, which may not have started yet. The loop's stream.Config
// needs Weigh, and should say ReadAlways: a server may have to be heard before it takes
// anything.
func New[T any](loop *Loop[T], owner Owner[T], cfg Config) *Client[T] {
	return &Client[T]{
		loop:    loop,
		owner:   owner,
		timeout: cmp.Or(cfg.Timeout, defaultTimeout),
		seed:    rand.Uint64(),
		frame: frame.Config{
			Client:     true,
			MaxMessage: cmp.Or(cfg.MaxMessage, defaultMaxMessage),
			Buffers:    &loop.Buffers,
		},
	}
}

// Dial begins to connect to an address, from another if that is valid, and to ask for the
// upgrade then. An error means that there is no connection; all that comes later comes to
// the owner, not before Dial returns.
func (c *Client[T]) Dial(to netip.AddrPort, from netip.Addr, tag T) (Stream[T], error) {
	s, err := c.loop.Dial(to, from, Session[T]{Tag: tag})
	if err == nil {
		s.SetDue(c.loop.Deadline(c.timeout))
	}
	return s, err
}

// DialTLS is Dial with a handshake of TLS before the request, for which the timeout is too; see
// stream.Loop.
func (c *Client[T]) DialTLS(to netip.AddrPort, from netip.Addr, tag T, config *tls.Config) (Stream[T], error) {
	s, err := c.loop.DialTLS(to, from, Session[T]{Tag: tag}, config)
	if err == nil {
		s.SetDue(c.loop.Deadline(c.timeout))
	}
	return s, err
}

// Opened is stream.Handler's: s has connected, and the request is sent unless TLS is first.
func (c *Client[T]) Opened(s Stream[T]) {
	if s.State() == stream.Securing {
		s.Data().state = Securing
		return
	}
	c.ask(s)
}

// Secured is stream.Handler's: the request is sent.
func (c *Client[T]) Secured(s Stream[T], _ *tls.ConnectionState) { c.ask(s) }

// ask sends the request.
func (c *Client[T]) ask(s Stream[T]) {
	out := c.owner.Request(s).Append(c.output(s), c.key(s))
	s.Data().state = Asked
	c.say(s, out)
}

// Input is stream.Handler's.
func (c *Client[T]) Input(s Stream[T], b []byte, eof bool) {
	if eof {
		s.Cut(io.EOF)
		return
	}
	c.current = s.Slot()
	switch s.Data().state {
	case Asked:
		c.readAnswer(s, b)
	case Open, Leaving:
		c.readFrames(s, b)
	}
	c.current = 0
	if !hasEnded(s) {
		c.flush(s)
	}
	c.out = c.out[:0]
}

// hasEnded reports whether s, whose input is handled, has ended in a callback. Then its
// slot is empty, or another's that has not connected: that takes an event of its own.
func hasEnded[T any](s Stream[T]) bool { return s.Data().state == Dialing }

// Due is stream.Handler's: the patience with s is at its end.
func (c *Client[T]) Due(s Stream[T]) {
	switch s.Data().state {
	case Dialing:
		s.Cut(End{Kind: CannotConnect, Code: int(unix.ETIMEDOUT)})
	case Securing:
		s.Cut(End{Kind: TLSFailed, Reason: "no answer in time"})
	case Asked:
		s.Cut(End{Kind: NoAnswer})
	case Leaving:
		s.Cut(End{Kind: NoGoodbye})
	}
}

// Victim is stream.Handler's.
func (c *Client[T]) Victim(s Stream[T]) { s.Cut(stream.ErrShed) }

// Resume is stream.Handler's. There is nothing to do.
func (c *Client[T]) Resume(Stream[T]) {}

// Mail is stream.Handler's. There is nothing to do.
func (c *Client[T]) Mail() {}

// Turn is stream.Handler's. There is nothing to do.
func (c *Client[T]) Turn(time.Duration) (next time.Duration) { return 0 }

// Fault is stream.Handler's: a panic in a method of the owner is one of the program.
func (c *Client[T]) Fault(_ Stream[T], err error) {
	if e, ok := err.(*stream.PanicError); ok {
		panic(e.Error() + "\n" + string(e.Stack))
	}
}

// Failed is stream.Handler's. The connections stay as they are.
func (c *Client[T]) Failed(error) {}

// key returns the key of s. It can be made again when the answer comes, so that it need not
// be kept.
func (c *Client[T]) key(s Stream[T]) (key Key) {
	x := c.seed + s.Token()
	binary.LittleEndian.PutUint64(key[:], mix(x))
	binary.LittleEndian.PutUint64(key[8:], mix(^x))
	return key
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood 2014).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
