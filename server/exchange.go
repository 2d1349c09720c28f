//go:build linux

package server

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/usher-ws/usher/limiter"
	"github.com/usher-ws/usher/upgrade"
)

// exchange is a request that net/http answers, and the net.Conn that net/http has of it. The
// socket stays with its loop: Read takes what the loop has read, and Write waits until the
// loop has taken what it was given. So memory, time, and the end of the connection are those
// of all others, and net/http's goroutine is done when the last bytes are the loop's.
type exchange struct {
	loop          *loop
	tok           uint64
	local, remote net.Addr

	// The loop's.
	route   *loopRoute // whose Relay's Handler it is for; nil for the Server's
	quota   quota
	whole   int // bytes of in that net/http is to have at once: the head, and a small body
	charged int // bytes that are charged to the loop's Buffers, beside in

	tls       *tls.ConnectionState
	forwarded upgrade.Forwarded // of its request; with RemoteAddr as remote is
	isPutOff  bool              // it waits for the next pass, to be answered by Server.Answer

	// Its turns. The loop's until it is served; then net/http's goroutine leaves them.
	addr     netip.Addr                   // by which it waits for them
	lines    []*limiter.Turns[netip.Addr] // that it needs one of, in this order
	turns    int                          // how many it has
	leave    func() bool                  // leaves the line in which it waits; nil if it waits in none
	leaveAll sync.Once

	writing sync.Mutex // one Write at a time
	mu      sync.Mutex
	changed sync.Cond // on mu
	told    bool      // the loop is going to look at it

	// Of the peer. Only the loop changes in, a buffer of its own.
	in   []byte
	read int   // how much of in Read has returned
	held bool  // the peer is not read from, since so much of in is unread
	end  error // what comes behind in, io.EOF or worse; nil if that is not known

	// To the peer.
	out     []byte // what Write was given, as far as the loop has not taken it
	sending bool   // the loop is reading out
	full    bool   // what the loop has taken waits for the peer
	said    bool   // all that was to be said, by CloseWrite or Close

	closed          bool  // by net/http
	gone            error // why the loop has no socket any more
	readBy, writeBy time.Time
}

// newExchange returns the exchange of a request that waits in s, in which b was read.
func newExchange(l *loop, s link, q quota, f upgrade.Forwarded, b []byte) *exchange {
	x := &exchange{loop: l, tok: s.Token(), quota: q, in: b, forwarded: f, addr: limiter.Network(f.RemoteAddr.Addr()),
		local: netAddr(s.LocalAddr()), remote: netAddr(f.RemoteAddr)}
	x.changed.L = &x.mu
	return x
}

// netAddr is an address as package net has it; what is not of IP has no name.
func netAddr(a netip.AddrPort) net.Addr {
	if !a.IsValid() {
		return &net.UnixAddr{Net: "unix", Name: "@"}
	}
	return net.TCPAddrFromAddrPort(a)
}

// inWindow is how much of what a peer sends waits for net/http before it is not read from, and
// outWindow how much the loop takes of a Write in one turn.
const (
	inWindow  = 16 << 10
	outWindow = 64 << 10
)

// Read is net.Conn's.
func (x *exchange) Read(b []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for {
		switch {
		case x.closed:
			return 0, net.ErrClosed
		case isOver(x.readBy):
			return 0, os.ErrDeadlineExceeded
		case x.read < len(x.in) || len(b) == 0:
			n := copy(b, x.in[x.read:])
			if x.read += n; x.held && len(x.in)-x.read < inWindow {
				x.tell()
			}
			return n, nil
		case x.gone != nil:
			return 0, x.gone
		case x.end != nil:
			return 0, x.end
		case x.said:
			return 0, io.EOF
		}
		x.wait(x.readBy)
	}
}

// Write is net.Conn's. b is the loop's until it returns.
func (x *exchange) Write(b []byte) (int, error) {
	x.writing.Lock()
	defer x.writing.Unlock()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.out = b
	err := x.send()
	for x.sending {
		x.changed.Wait()
	}
	n := len(b) - len(x.out)
	x.out = nil
	return n, err
}

// send waits until the loop has taken all of out.
func (x *exchange) send() error {
	for len(x.out) > 0 {
		switch {
		case x.closed || x.said:
			return net.ErrClosed
		case x.gone != nil:
			return x.gone
		case isOver(x.writeBy):
			return os.ErrDeadlineExceeded
		}
		if !x.full {
			x.tell()
		}
		x.wait(x.writeBy)
	}
	return nil
}

// CloseWrite says that what was written is all. The loop sends it and lingers, so that nothing
// is read any more either.
func (x *exchange) CloseWrite() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.gone != nil {
		return x.gone
	}
	x.said = true
	x.tell()
	x.changed.Broadcast()
	return nil
}

// Close is net.Conn's. It does not wait: sending, which is bounded, and lingering are the
// loop's business.
func (x *exchange) Close() error {
	_ = x.CloseWrite()
	x.mu.Lock()
	x.closed = true
	x.changed.Broadcast()
	x.mu.Unlock()
	x.leaveTurns()
	return nil
}

// leaveTurns lets others be served, once.
func (x *exchange) leaveTurns() {
	x.leaveAll.Do(func() {
		for _, line := range x.lines[:x.turns] {
			line.Release()
		}
	})
}

// LocalAddr is net.Conn's.
func (x *exchange) LocalAddr() net.Addr { return x.local }

// RemoteAddr is net.Conn's.
func (x *exchange) RemoteAddr() net.Addr { return x.remote }

// SetDeadline is net.Conn's.
func (x *exchange) SetDeadline(t time.Time) error {
	_ = x.SetReadDeadline(t)
	return x.SetWriteDeadline(t)
}

// SetReadDeadline is net.Conn's.
func (x *exchange) SetReadDeadline(t time.Time) error { return x.setDeadline(&x.readBy, t) }

// SetWriteDeadline is net.Conn's. The write-timeout holds beside it.
func (x *exchange) SetWriteDeadline(t time.Time) error { return x.setDeadline(&x.writeBy, t) }

func (x *exchange) setDeadline(by *time.Time, t time.Time) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return net.ErrClosed
	}
	*by = t
	x.changed.Broadcast()
	return nil
}

func isOver(by time.Time) bool { return !by.IsZero() && !time.Now().Before(by) }

// wait waits for a change, or until a point in time that is not zero. x.mu is held.
func (x *exchange) wait(by time.Time) {
	if !by.IsZero() {
		t := time.AfterFunc(time.Until(by), func() {
			x.mu.Lock()
			defer x.mu.Unlock()
			x.changed.Broadcast()
		})
		defer t.Stop()
	}
	x.changed.Wait()
}

// turnCame is told by a line, which has room for all.
func (x *exchange) turnCame(error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.tell()
}

// tell has the loop look at it. x.mu is held.
func (x *exchange) tell() {
	if !x.told {
		x.told = true
		x.loop.exchanges.put(x)
	}
}

// exchanges is where a loop finds those that have something for it.
type exchanges struct {
	mu     sync.Mutex
	queued []*exchange
}

// put queues x, once until it is taken. Safe for any goroutine.
func (q *exchanges) put(x *exchange) {
	q.mu.Lock()
	q.queued = append(q.queued, x)
	q.mu.Unlock()
	x.loop.Wake()
}

// len is how many are queued.
func (q *exchanges) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.queued)
}

// take takes the first that was queued.
func (q *exchanges) take() *exchange {
	q.mu.Lock()
	defer q.mu.Unlock()
	x := q.queued[0]
	q.queued[0] = nil
	if q.queued = q.queued[1:]; len(q.queued) == 0 {
		q.queued = nil
	}
	return x
}
