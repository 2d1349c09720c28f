//go:build linux

package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/usher-ws/usher/poller"
	"github.com/usher-ws/usher/record/handshake"
	"golang.org/x/sys/unix"
)

// This file is how a stream becomes secure. crypto/tls does the handshake, and waits for the
// peer on a goroutine of its own, which ends with it: the loop gives it what was read, and sends
// what it writes. A peer that says nothing has no goroutine.

const (
	// handshakeSize is about what a handshake takes: a goroutine, its stack, and crypto/tls.
	handshakeSize = 24 << 10

	// maxHandshakes is how many are under way on a loop at a time. The oldest makes room: an
	// honest one takes milliseconds, and as long as its peer is away.
	maxHandshakes = 512

	// maxAhead is how much of what a peer says may wait for crypto/tls, which takes no message
	// of more than 64 KiB.
	maxAhead = 128 << 10
)

// Causes of an end that comes before a stream is secure. What crypto/tls refuses is an error
// of its own.
var (
	ErrNotSecured = errors.New("stream: the handshake was not done in time")
	ErrAhead      = errors.New("stream: the peer says too much before its handshake is done")
)

// securing are the handshakes of a loop.
type securing struct {
	running int
	order   []uint64 // the tokens of accepted streams whose handshakes have begun, the oldest first

	mu   sync.Mutex
	told []*negotiation // that have something for the loop
}

// negotiation is a handshake that is under way, and the net.Conn that crypto/tls has of it. Nothing of it
// blocks but Read; deadlines are the stream's.
type negotiation struct {
	loop *securing
	wake func()
	do   func(net.Conn) (*handshake.Result, error)
	tok  uint64

	local, remote netip.AddrPort

	// The loop's.
	isRunning bool
	unsent    []byte

	mu      sync.Mutex
	changed sync.Cond // on mu
	isTold  bool      // the loop is going to look
	in      []byte    // of the peer
	isEnd   bool      // there is nothing behind in
	out     []byte    // for the peer, and not yet the loop's
	gone    error     // why there is no stream any more
	isOver  bool
	result  *handshake.Result
	err     error
}

// begin starts the goroutine.
func (h *negotiation) begin() {
	go func() {
		r, err := h.run()
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.result, h.err, h.isOver = r, err, true; h.gone != nil && r != nil {
			r.Conn.Clear()
		}
		h.tell()
	}()
}

// run calls crypto/tls, and with it functions of a tls.Config.
func (h *negotiation) run() (r *handshake.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			r, err = nil, &PanicError{p, debug.Stack()}
		}
	}()
	return h.do(h)
}

// tell has the loop look at h. It is called under mu.
func (h *negotiation) tell() {
	if h.isTold {
		return
	}
	h.isTold = true
	h.loop.mu.Lock()
	h.loop.told = append(h.loop.told, h)
	h.loop.mu.Unlock()
	h.wake()
}

// Read is net.Conn's.
func (h *negotiation) Read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.in) == 0 && !h.isEnd && h.gone == nil {
		h.changed.Wait()
	}
	switch {
	case h.gone != nil:
		return 0, h.gone
	case len(h.in) == 0:
		return 0, io.EOF
	}
	n := copy(b, h.in)
	h.in = h.in[n:]
	return n, nil
}

// Write is net.Conn's. It takes all, as an error would stay with crypto/tls.
func (h *negotiation) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.out = append(h.out, b...)
	h.tell()
	return len(b), nil
}

// Close is net.Conn's. The stream is the loop's to end.
func (h *negotiation) Close() error { return nil }

func (h *negotiation) LocalAddr() net.Addr              { return net.TCPAddrFromAddrPort(h.local) }
func (h *negotiation) RemoteAddr() net.Addr             { return net.TCPAddrFromAddrPort(h.remote) }
func (h *negotiation) SetDeadline(time.Time) error      { return nil }
func (h *negotiation) SetReadDeadline(time.Time) error  { return nil }
func (h *negotiation) SetWriteDeadline(time.Time) error { return nil }

// hear takes what the peer has said, and reports false if that is too much.
func (h *negotiation) hear(b []byte) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.in = append(h.in, b...)
	h.changed.Signal()
	return len(h.in) <= maxAhead
}

// hearEnd says that the peer says nothing more.
func (h *negotiation) hearEnd() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.isEnd = true
	h.changed.Signal()
}

// end says that there will be nothing more.
func (h *negotiation) end(cause error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.gone == nil {
		h.gone = cause
	}
	if h.result != nil {
		h.result.Conn.Clear()
	}
	h.changed.Broadcast()
}

// newHandshake makes the handshake of a stream, which has yet to begin.
func (l *Loop[T, X]) newHandshake(i uint32, s *slot[T], do func(net.Conn) (*handshake.Result, error)) {
	h := &negotiation{loop: &l.secure.securing, wake: l.poll.Wake, do: do, tok: token(i, s.gen.Load())}
	h.changed.L = &h.mu
	l.need(i, s).sealed.shake = h
	l.Buffers.Charge(handshakeSize)
	l.exts.rank(s.ext)
}

// negotiate reads for crypto/tls.
func (l *Loop[T, X]) negotiate(i uint32, s *slot[T]) {
	if s.flags&awaitsHeader != 0 && !l.readHeader(i, s) {
		return
	}
	n, errno := l.recv(s, 0)
	switch {
	case n == 0 && errno == unix.EAGAIN:
		return
	case n == 0 && errno == 0 && l.exts.get(s.ext).sealed.shake != nil: // crypto/tls may have all it needs
		l.exts.get(s.ext).sealed.shake.hearEnd()
		l.arm(i, s, s.flags&armedWrite)
		return
	case n == 0 && errno == 0:
		l.release(i, s, ErrHangup)
		return
	case n == 0:
		l.release(i, s, errno)
		return
	}
	if h := l.exts.get(s.ext).sealed.shake; h == nil {
		l.hearHello(i, s, l.buf[:n])
	} else if !h.hear(l.buf[:n]) {
		l.release(i, s, ErrAhead)
	}
}

// hearHello gathers what a client says first, and begins the handshake when that is whole.
func (l *Loop[T, X]) hearHello(i uint32, s *slot[T], b []byte) {
	if x := l.exts.get(s.ext); len(x.sealed.in) > 0 {
		b = append(x.sealed.in, b...)
	}
	cfg := &l.engine.cfg
	switch size, err := handshake.HelloSize(b); {
	case err != nil:
		l.endWith(i, s, err)
		if 'A' <= b[0] && b[0] <= 'Z' { // as a method of HTTP
			l.finish(i, s, cfg.NotTLS)
		} else {
			l.release(i, s, err)
		}
	case len(b) > maxAhead:
		l.release(i, s, ErrAhead)
	case size == 0 || size > len(b):
		x := l.need(i, s)
		x.sealed.in = l.Buffers.Append(x.sealed.in, b[len(x.sealed.in):])
		l.exts.rank(s.ext)
	default:
		l.newHandshake(i, s, func(c net.Conn) (*handshake.Result, error) {
			return cfg.TLS.Handshake(context.Background(), c, nil)
		})
		x := l.exts.get(s.ext)
		_ = x.sealed.shake.hear(b)
		l.Buffers.Put(x.sealed.in)
		x.sealed.in = nil
		l.beginInOrder(i, s)
	}
}

// endWith notes what a stream ends for. It has not become secure, and says its last now.
func (l *Loop[T, X]) endWith(i uint32, s *slot[T], why error) {
	x := l.need(i, s)
	x.sealed.end, x.sealed.told = why, true
	s.state = Flowing
}

// beginInOrder begins a handshake that was made, and ends the oldest if there are too many.
func (l *Loop[T, X]) beginInOrder(i uint32, s *slot[T]) {
	t := &l.secure.securing
	for t.running >= maxHandshakes && len(t.order) > 0 {
		tok := t.order[0]
		t.order = t.order[1:]
		if k, other := l.slab.find(tok); other != nil && other.state == Securing {
			l.engine.evicted.Add(1)
			l.release(k, other, ErrEvicted)
		}
	}
	if len(t.order) > 2*maxHandshakes {
		t.order = slices.DeleteFunc(t.order, func(tok uint64) bool {
			_, other := l.slab.find(tok)
			return other == nil || other.state != Securing
		})
	}
	t.order = append(t.order, token(i, s.gen.Load()))
	l.beginHandshake(i, s)
}

// beginHandshake begins a handshake that was made.
func (l *Loop[T, X]) beginHandshake(i uint32, s *slot[T]) {
	h := l.exts.get(s.ext).sealed.shake
	h.remote = poller.Peer(int(s.fd))
	h.local, _ = poller.Local(int(s.fd))
	h.isRunning = true
	l.secure.running++
	h.begin()
}

// attendHandshakes looks at those that have something for the loop.
func (l events[T, X]) attendHandshakes() {
	t := &l.secure.securing
	t.mu.Lock()
	n := len(t.told)
	t.mu.Unlock()
	for ; n > 0; n-- {
		t.mu.Lock()
		h := t.told[0]
		if t.told = t.told[1:]; len(t.told) == 0 {
			t.told = nil
		}
		t.mu.Unlock()
		if i, s := l.slab.find(h.tok); s != nil && s.state == Securing && l.exts.get(s.ext).sealed.shake == h {
			l.at = i
			l.reply(i, s)
		}
	}
}

// reply sends what crypto/tls has written, and goes on when it is done.
func (l *Loop[T, X]) reply(i uint32, s *slot[T]) {
	h := l.exts.get(s.ext).sealed.shake
	if h == nil {
		return
	}
	h.mu.Lock()
	h.unsent = append(h.unsent, h.out...)
	h.out, h.isTold = nil, false
	isOver := h.isOver
	h.mu.Unlock()
	for len(h.unsent) > 0 {
		n, errno := l.wire.send(int(s.fd), h.unsent, false)
		if errno != 0 && errno != unix.EAGAIN {
			l.release(i, s, errno)
			return
		}
		l.sent += uint64(n)
		h.unsent = h.unsent[n:]
		if n == 0 {
			l.arm(i, s, s.flags&armedRead|armedWrite)
			return
		}
	}
	l.arm(i, s, s.flags&armedRead)
	if isOver {
		l.concludeHandshake(i, s, h)
	}
}

// concludeHandshake begins what follows a handshake.
func (l *Loop[T, X]) concludeHandshake(i uint32, s *slot[T], h *negotiation) {
	rest, result, err := h.in, h.result, h.err
	h.result = nil // it is ours
	x := l.need(i, s)
	l.dropHandshake(&x.sealed)
	if err != nil {
		l.endWith(i, s, fmt.Errorf("stream: handshake: %w", err))
		l.finish(i, s, nil) // the alert has left
		return
	}
	l.secure.add(i, &result.Conn)
	result.Conn.Clear()
	if len(result.Rest)+len(rest) > 0 {
		x.sealed.in = l.Buffers.Append(l.Buffers.Append(nil, result.Rest), rest)
		x.sealed.isEarly = true
	}
	l.trim(s)
	s.state = Flowing
	call := l.enter(i, s)
	l.handler.Secured(l.of(i, s), &result.State)
	l.leave(i, s, call)
}

// dropHandshake forgets a handshake.
func (l *Loop[T, X]) dropHandshake(x *sealed) {
	h := x.shake
	if h == nil {
		return
	}
	x.shake = nil
	l.Buffers.Forget(handshakeSize)
	if h.isRunning {
		l.secure.running--
	}
	h.end(net.ErrClosed)
}

// dropSealed gives back what TLS has of a stream.
func (l *Loop[T, X]) dropSealed(s *slot[T]) {
	if s.ext == 0 {
		return
	}
	x := &l.exts.get(s.ext).sealed
	l.dropHandshake(x)
	l.Buffers.Put(x.in)
	l.Buffers.Put(x.out)
	*x = sealed{}
}
