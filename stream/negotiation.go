//go:build linux

package stream

import (
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/usher-ws/usher/record/handshake"
)

// This file is what crypto/tls sees of a stream: its goroutine has a net.Conn that the loop
// (securing.go) fills and empties.

// negotiation is a handshake that is under way, and the net.Conn that crypto/tls has of it.
// Nothing of it blocks but Read; deadlines are the stream's. What crypto/tls writes is the
// loop's when it waits for the peer or is done: nothing comes of it earlier.
type negotiation struct {
	loop *securing
	wake func()
	do   func(net.Conn) (*handshake.Result, error)
	tok  uint64

	local, remote netip.AddrPort

	// The loop's.
	turn     turnOf // to compute
	hasBegun bool
	unsent   []byte

	mu      sync.Mutex
	changed sync.Cond // on mu
	isTold  bool      // the loop is going to look
	isIdle  bool      // Read waits to be called
	in      []byte    // of the peer
	isFull  bool      // nothing more is read until in is empty
	last    error     // what comes behind in, io.EOF or worse; nil if that is not known
	out     []byte    // for the peer, and not yet the loop's
	gone    error     // why there is no stream any more
	isOver  bool
	result  *handshake.Result
	err     error
}

// run does the handshake, and with it calls functions of a tls.Config.
func (h *negotiation) run() {
	var r *handshake.Result
	err := ErrExited // unless they return
	defer func() {
		if p := recover(); p != nil {
			r, err = nil, &PanicError{p, debug.Stack()}
		}
		h.conclude(r, err)
	}()
	r, err = h.do(h)
}

// conclude says how it went.
func (h *negotiation) conclude(r *handshake.Result, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.result, h.err, h.isOver = r, err, true; h.gone != nil && r != nil {
		r.Conn.Clear()
	}
	h.tell()
}

// tell has the loop look at h. It is called under mu.
func (h *negotiation) tell() {
	if h.isTold {
		return
	}
	h.isTold = true
	h.loop.mu.Lock()
	h.loop.told = append(h.loop.told, h)
	isLooking := h.loop.isLooking
	h.loop.mu.Unlock()
	if !isLooking {
		h.wake()
	}
}

// attend says that the loop looks now, and returns what there is to know: whether the goroutine
// has ended, once; whether it waits, and whether there is something to hear for it.
func (h *negotiation) attend() (isOver, isIdle, hearsMore bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.isTold = false
	return h.isOver, h.isIdle, len(h.in) > 0 || h.last != nil
}

// goOn ends Read's waiting.
func (h *negotiation) goOn() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changed.Signal()
}

// Read is net.Conn's.
func (h *negotiation) Read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.in) == 0 && h.last == nil && h.gone == nil {
		if !h.isIdle {
			h.isIdle = true
			h.tell()
		}
		h.changed.Wait()
	}
	h.isIdle = false
	switch {
	case h.gone != nil:
		return 0, h.gone
	case len(h.in) == 0:
		return 0, h.last
	}
	n := copy(b, h.in)
	if h.in = h.in[n:]; len(h.in) == 0 && h.isFull {
		h.isFull = false
		h.tell()
	}
	return n, nil
}

// Write is net.Conn's. It takes all, as an error would stay with crypto/tls.
func (h *negotiation) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.out = append(h.out, b...)
	return len(b), nil
}

// Close is net.Conn's. The stream is the loop's to end.
func (h *negotiation) Close() error { return nil }

func (h *negotiation) LocalAddr() net.Addr              { return net.TCPAddrFromAddrPort(h.local) }
func (h *negotiation) RemoteAddr() net.Addr             { return net.TCPAddrFromAddrPort(h.remote) }
func (h *negotiation) SetDeadline(time.Time) error      { return nil }
func (h *negotiation) SetReadDeadline(time.Time) error  { return nil }
func (h *negotiation) SetWriteDeadline(time.Time) error { return nil }

// hear takes what the peer has said. Read waits until it is called.
func (h *negotiation) hear(b []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.in = append(h.in, b...)
	h.isFull = len(h.in) >= maxAhead
}

// isHearing reports whether h takes more of what the peer says.
func (h *negotiation) isHearing() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.isFull && h.last == nil
}

// hearEnd says that the peer says nothing more, and why. Read waits until it is called.
func (h *negotiation) hearEnd(why error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last == nil {
		h.last = why
	}
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
