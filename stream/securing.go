//go:build linux

package stream

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"

	"github.com/usher-ws/usher/poller"
	"github.com/usher-ws/usher/record"
	"github.com/usher-ws/usher/record/handshake"
	"golang.org/x/sys/unix"
)

// This file is how a stream becomes secure. crypto/tls does the handshake, and waits for the
// peer on a goroutine of its own, which ends with it: the loop gives it what was read, and sends
// what it writes. A peer that says nothing has no goroutine.

const (
	// handshakeSize is about what a handshake takes: a goroutine, its stack, and crypto/tls.
	handshakeSize = 24 << 10

	// leastSecure is the least that a loop may lend, with TLS: a handshake, and a record each way.
	// With less nobody could come in.
	leastSecure = handshakeSize + 2*record.MaxRecord

	// maxHandshakes is how many are under way on a loop at a time. The oldest makes room: an
	// honest one takes milliseconds, and as long as its peer is away.
	maxHandshakes = 512

	// maxGoroutines is how many goroutines the handshakes of accepted streams may have, those
	// included whose stream has ended and that are still within a function of the tls.Config.
	maxGoroutines = 2 * maxHandshakes

	// maxAhead is from how many bytes on that wait for crypto/tls nothing more is read. At most
	// as much again is read at once.
	maxAhead = 16 << 10
)

// Causes of an end that comes before a stream is secure. What crypto/tls refuses is an error
// of its own.
var (
	ErrNotSecured = errors.New("stream: the handshake was not done in time")
	ErrLongHello  = errors.New("stream: the peer begins with too long a hello")
)

// securing are the handshakes of a loop.
type securing struct {
	begun      int      // streams whose handshakes have begun
	goroutines int      // theirs, and of those that have ended
	order      []uint64 // the tokens of accepted streams whose handshakes have begun, the oldest first
	computing

	mu        sync.Mutex
	told      []*negotiation // that have something for the loop
	isLooking bool           // at told before it waits: it need not be woken
	isTimed   bool           // it will be woken when the round is over
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
	h := l.exts.get(s.ext).sealed.shake
	if h != nil && s.flags&hungUp != 0 {
		l.hearLast(i, s, h, ErrHangup)
		return
	}
	from := len(l.buf) - maxAhead
	n, errno := l.recv(s, from)
	switch {
	case n == 0 && errno == unix.EAGAIN:
	case n == 0 && errno == 0 && h != nil: // crypto/tls may have all it needs
		h.hearEnd(io.EOF)
		l.takeTurn(h)
		l.watchShake(i, s, h)
	case n == 0 && errno == 0:
		l.release(i, s, ErrHangup)
	case n == 0 && h != nil:
		l.hearLast(i, s, h, errno)
	case n == 0:
		l.release(i, s, errno)
	case h == nil:
		l.hearHello(i, s, l.buf[from:from+n])
	default:
		h.hear(l.buf[from : from+n])
		l.takeTurn(h)
		l.watchShake(i, s, h)
	}
}

// hearLast has crypto/tls hear what is left of a peer that takes nothing any more, and judge: that
// may be an alert. A peer that refuses a certificate closes its socket at once, with something of
// ours unread, so that the kernel resets the connection behind the alert.
func (l *Loop[T, X]) hearLast(i uint32, s *slot[T], h *negotiation, why error) {
	s.flags |= deaf
	for from := len(l.buf) - maxAhead; h.isHearing(); {
		n, errno := l.recv(s, from)
		if n == 0 {
			if errno != 0 && errno != unix.EAGAIN {
				why = errno
			}
			break
		}
		h.hear(l.buf[from : from+n])
	}
	h.hearEnd(why)
	l.takeTurn(h)
	l.watchShake(i, s, h)
}

// watchShake has epoll tell of what a handshake waits for.
func (l *Loop[T, X]) watchShake(i uint32, s *slot[T], h *negotiation) {
	var want flags
	if h.isHearing() {
		want |= armedRead
	}
	if len(h.unsent) > 0 {
		want |= armedWrite
	}
	l.arm(i, s, want)
}

// beginInOrder begins a handshake that was made, and ends the oldest if there are too many.
func (l *Loop[T, X]) beginInOrder(i uint32, s *slot[T], h *negotiation) {
	t := &l.secure.securing
	if t.goroutines >= maxGoroutines {
		l.engine.turnedAway.Add(1)
		l.release(i, s, ErrEvicted)
		return
	}
	t.order = append(t.order, token(i, s.gen.Load()))
	if len(t.order) > 2*maxHandshakes {
		t.order = slices.DeleteFunc(t.order, func(tok uint64) bool {
			_, other := l.slab.find(tok)
			return other == nil || other.state != Securing
		})
	}
	l.beginHandshake(i, s, h)
	for t.begun > maxHandshakes && len(t.order) > 1 {
		tok := t.order[0]
		t.order = t.order[1:]
		if k, other := l.slab.find(tok); other != nil && other.state == Securing {
			before := l.at
			l.at = k
			l.engine.evicted.Add(1)
			l.release(k, other, ErrEvicted)
			l.at = before
		}
	}
}

// beginHandshake begins a handshake that was made.
func (l *Loop[T, X]) beginHandshake(i uint32, s *slot[T], h *negotiation) {
	h.remote = poller.Peer(int(s.fd))
	h.local, _ = poller.Local(int(s.fd))
	h.hasBegun = true
	l.secure.begun++
	l.secure.goroutines++
	l.watchShake(i, s, h)
	l.takeTurn(h)
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
		isOver, isIdle, hearsMore := h.attend()
		if isOver {
			h.turn.isOver = true
			t.goroutines--
			if p, ok := h.err.(*PanicError); ok {
				l.logError("stream: panic in a handshake", "panic", p.Value, "stack", string(p.Stack))
			}
		}
		if isOver || isIdle {
			l.endTurn(h, isIdle && hearsMore)
		}
		if i, s := l.slab.find(h.tok); s != nil && s.state == Securing && l.exts.get(s.ext).sealed.shake == h {
			l.at = i
			l.reply(i, s)
		}
	}
	l.giveTurns()
}

// reply sends what crypto/tls has written, and goes on when it is done.
func (l *Loop[T, X]) reply(i uint32, s *slot[T]) {
	h := l.exts.get(s.ext).sealed.shake
	if h == nil {
		return
	}
	h.mu.Lock()
	if len(h.unsent) == 0 {
		h.unsent = h.out
	} else {
		h.unsent = append(h.unsent, h.out...)
	}
	h.out = nil
	isOver := h.isOver
	h.mu.Unlock()
	for full := false; len(h.unsent) > 0 && !full; {
		n, errno := l.wire.send(int(s.fd), h.unsent, false)
		if errno != 0 && errno != unix.EAGAIN {
			h.unsent = nil
			l.hearLast(i, s, h, errno)
			break
		}
		l.sent += uint64(n)
		full = n < min(len(h.unsent), poller.SendLimit)
		h.unsent = h.unsent[n:]
	}
	l.watchShake(i, s, h)
	if isOver && len(h.unsent) == 0 {
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
	if s.gen.Load()&genBits == call.gen && s.ext != 0 && l.exts.get(s.ext).sealed.isEarly && l.isTellable(s) {
		l.current = call.before
		s.state, s.why = Flowing, 0
		l.hearEarly(i, s, l.need(i, s)) // rather than in a pass of its own
		return
	}
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
	if h.hasBegun {
		l.secure.begun--
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
