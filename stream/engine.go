//go:build linux

package stream

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"github.com/usher-ws/usher/poller"
	"github.com/usher-ws/usher/record/handshake"
	"golang.org/x/sys/unix"
)

// Config is what an Engine needs to know. Loops and Weigh are required, and MaxConns is
// if it is to accept any.
type Config[X any] struct {
	Loops int

	// MaxConns is how many accepted streams there may be; beyond, a stream is accepted
	// to be told so (S.Excess), within Reserve, in which those that linger are counted,
	// too. If the reserve is full, its streams make room: newcomers that have yet to
	// Claim a place, then those that linger, of the Source that has most of them. What
	// is dialled does not count. SetLimits sets another MaxConns.
	MaxConns, Reserve int

	// Source is what newcomers from an address count as, so that those of one source
	// make room for others first; nil for the address itself. It is zero for sockets
	// that are not of IP.
	Source func(peer netip.Addr) netip.Addr

	// Admit says whether a newcomer may have a place among MaxConns, or comes to be
	// told that its source has too many; nil lets all in. Of the source there are
	// newcomers, this one not counted, that have a place and have yet to Claim it. It
	// is called on any loop, once the peer is known, and not for the zero source.
	Admit func(peer netip.Addr, newcomers int, now time.Duration) bool

	// IsProxy says of which peers a stream begins with a header that names the peer that
	// counts instead; nil for of none. The zero Addr is a peer that is not of IP.
	//
	// ReadHeader reads the header of such a stream. It returns its length, with a zero
	// client if the proxy speaks for itself; 0 if b, all that has come, is only its
	// beginning, of at most 1,023 bytes; or an error, which is the cause of the stream's
	// end. It is called on any loop; b is valid until it returns.
	IsProxy    func(peer netip.Addr) bool
	ReadHeader func(b []byte) (length int, client netip.AddrPort, err error)

	// MaxBuffered is how many bytes all loops together may have lent after a pass; 0 is
	// no limit. A loop that has more makes victims.
	MaxBuffered int

	// WriteTimeout is for how long a peer may take nothing of what waits for it; 0 is no
	// limit.
	WriteTimeout time.Duration

	// ReadAlways reads from streams while bytes wait: for clients, whose peers may have
	// to be heard before they take anything. Otherwise a peer that does not take
	// its answers cannot ask for more.
	ReadAlways bool

	// TLS does the handshakes of listeners that have them. NotTLS is what a peer of those is
	// told, in the clear, that speaks HTTP instead.
	TLS    *handshake.Server
	NotTLS []byte

	// Weigh says how many bytes of a loop's Buffers x holds, and whether all of it is
	// zero.
	Weigh func(x *X) (bytes int, isZero bool)

	// LogError is told of errors that are no stream's; nil for nobody. It must not wait.
	LogError func(msg string, args ...any)

	// Progress is poller.Progress, but for tests that have no time.
	Progress func(fd int) poller.Outgoing
}

// Engine is several loops with one clock and one account of their streams.
type Engine[T, X any] struct {
	cfg       Config[X]
	origin    time.Time
	loops     []*Loop[T, X]
	acceptor  acceptor[T, X] // loop 0's
	listeners uint8
	sources   sources
	calm      int // how full the reserve may be until its streams are asked to make room
	maxConns  atomic.Int64
	asks      atomic.Bool // Config.Admit
	account
}

// ErrMemory is what New returns, in words of its own, for a MaxBuffered with which no TLS handshake
// could ever be done.
var ErrMemory = errors.New("stream: too little memory for TLS")

// New makes an engine whose loops have not started yet. handler returns the owner of a
// loop's streams.
func New[T, X any](cfg Config[X], handler func(*Loop[T, X]) Handler[T, X]) (*Engine[T, X], error) {
	if cfg.Loops <= 0 || cfg.Weigh == nil {
		return nil, errors.New("stream: a Config needs Loops and Weigh")
	}
	if least := cfg.Loops * leastSecure; cfg.TLS != nil && cfg.MaxBuffered > 0 && cfg.MaxBuffered < least {
		return nil, fmt.Errorf("%w: handshakes on %d loops need %d bytes, and have %d", ErrMemory, cfg.Loops, least, cfg.MaxBuffered)
	}
	if cfg.Progress == nil {
		cfg.Progress = poller.Progress
	}
	if cfg.Source == nil {
		cfg.Source = func(peer netip.Addr) netip.Addr { return peer }
	}
	if cfg.IsProxy == nil {
		cfg.IsProxy = func(netip.Addr) bool { return false }
	}
	e := &Engine[T, X]{cfg: cfg, origin: time.Now(), calm: cfg.Reserve}
	if cfg.Loops > 1 { // which have to be asked, and may be busy
		e.calm -= cfg.Reserve / 8
	}
	e.SetLimits(cfg.MaxConns, cfg.Admit != nil)
	e.sources.init()
	for id := range cfg.Loops {
		l, err := newLoop(e, id, e.origin)
		if err != nil {
			e.Close()
			return nil, err
		}
		l.handler = handler(l)
		e.loops = append(e.loops, l)
	}
	e.acceptor.Loop = e.loops[0]
	return e, nil
}

// Start begins the loops' goroutines.
func (e *Engine[T, X]) Start() error {
	for _, l := range e.loops {
		_ = l.Post(events[T, X]{l}.begin)
		if err := l.poll.Start(); err != nil {
			return err
		}
	}
	return nil
}

// Close ends all loops and waits until nothing of them runs any more. Their streams must
// have been cut before.
func (e *Engine[T, X]) Close() {
	for _, l := range e.loops {
		_ = l.Close()
	}
}

// SetLimits sets another MaxConns, and whether Config.Admit is asked, for the streams that come
// from now on. Safe for any goroutine.
func (e *Engine[T, X]) SetLimits(maxConns int, asks bool) {
	e.maxConns.Store(int64(maxConns))
	e.asks.Store(asks && e.cfg.Admit != nil)
}

func (e *Engine[T, X]) mostConns() int { return int(e.maxConns.Load()) }

// Origin is what the clock of all loops counts from, for a time that is later than the
// pass's (Loop.Now). Safe for any goroutine.
func (e *Engine[T, X]) Origin() time.Time { return e.origin }

// Loops returns the loops.
func (e *Engine[T, X]) Loops() []*Loop[T, X] { return e.loops }

// A Listener is a listening socket of streams: TCP or unix, non-blocking.
type Listener struct {
	FD int

	// Shared says that another process listens on this very socket, or will. What waits in
	// its backlog at the end is left to that one.
	Shared bool

	// TLS says that its streams begin with a handshake, by Config.TLS.
	TLS bool
}

// MaxListeners is how many listening sockets an Engine can have.
const MaxListeners = 255

// Listen accepts, from now on, what comes to the listening sockets, up to MaxListeners in all.
// failed is called on a loop for each that it cannot be done for, which is still the
// caller's to close; Unlisten closes the others. S.Listener counts all of them from 0, in
// their order. Safe for any goroutine.
func (e *Engine[T, X]) Listen(all []Listener, failed func(error)) error {
	return e.loops[0].Post(func() {
		acceptor := events[T, X]{e.loops[0]}
		for _, one := range all {
			if err := acceptor.listen(listening{one, e.listeners}); err != nil {
				failed(err)
			}
			e.listeners++
		}
	})
}

// Adopt takes over a connected stream socket that was accepted, or made, elsewhere: it
// becomes a stream as if a listening socket had accepted it, one with TLS if isSecured says so.
// It is made non-blocking and close-on-exec. After an error it is still the caller's; otherwise
// it is the engine's, and closed if the loops stop adopting before it has begun. Only between
// Start and Close. Safe for any goroutine.
func (e *Engine[T, X]) Adopt(fd int, isSecured bool) error {
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if kind != unix.SOCK_STREAM {
		return errors.New("stream: the socket is not one of streams")
	}
	if _, err := unix.Getpeername(fd); err != nil {
		return os.NewSyscallError("getpeername", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	unix.CloseOnExec(fd)
	peer := poller.Peer(fd)
	if !peer.IsValid() && !poller.IsUnix(fd) {
		return os.NewSyscallError("getpeername", unix.ENOTCONN) // it has gone meanwhile
	}
	acceptor := e.loops[0]
	if !acceptor.inbox.put(adoption{fd: fd, peer: peer.Addr(), isSecured: isSecured, inherited: true}) {
		return poller.ErrClosed
	}
	acceptor.Wake()
	return nil
}

// Unlisten closes the listening sockets. What is in their backlogs is let in. It waits
// until that is done, or ctx ends; the acceptor does it then when it can. Not on a loop.
func (e *Engine[T, X]) Unlisten(ctx context.Context) {
	done := make(chan struct{})
	err := e.loops[0].Post(func() {
		defer close(done)
		e.acceptor.unlisten()
	})
	if err != nil {
		return
	}
	select {
	case <-done:
	case <-ctx.Done():
	}
}
