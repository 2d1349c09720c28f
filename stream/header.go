//go:build linux

package stream

import (
	"errors"
	"net/netip"

	"github.com/usher-ws/usher/poller"
	"golang.org/x/sys/unix"
)

// This file is about streams of proxies, which begin with a header that says where the stream
// comes from. What is to be spoken on it, in the clear or not, begins behind the header.

// ErrNoHeader is the cause of the end of a stream whose peer has ended it within its header.
var ErrNoHeader = errors.New("stream: it ended before its header did")

// headerBytes is how much of a stream is looked at to find its header.
const headerBytes = 1 << 10

// AwaitsHeader reports whether the stream's header has yet to come. Until then RemoteAddr is
// the proxy's, and Input is not called.
func (s S[T, X]) AwaitsHeader() bool { return s.slot.flags&awaitsHeader != 0 }

// readHeader takes the header off a stream once it is complete, and reports whether it was.
// Until then all of it waits in the kernel, so that it takes no memory of ours. What is no
// header ends the stream.
func (l *Loop[T, X]) readHeader(i uint32, s *slot[T]) bool {
	n, errno := poller.Peek(int(s.fd), l.buf[:headerBytes])
	switch {
	case errno == unix.EAGAIN:
		return false
	case errno != 0:
		l.release(i, s, errno)
		return false
	}
	length, client, err := 0, netip.AddrPort{}, ErrNoHeader
	if n > 0 {
		length, client, err = l.engine.cfg.ReadHeader(l.buf[:n])
		if length == 0 && err == nil && (n == headerBytes || poller.PeerHasEnded(int(s.fd))) {
			err = ErrNoHeader
		}
	}
	switch {
	case err != nil:
		l.release(i, s, err)
	case length > 0:
		_, _ = poller.Recv(int(s.fd), l.buf[:length]) // it is all there
		s.flags &^= awaitsHeader
		l.hail(i, s, client)
		return true
	}
	return false
}

// hail notes what the header of a stream says, and counts the stream as others are counted when
// they are accepted. If Config.Admit refuses it then, its owner looks at its deadline again.
func (l *Loop[T, X]) hail(i uint32, s *slot[T], client netip.AddrPort) {
	l.peers.set(i, client)
	k, ok := l.members[i]
	if !ok {
		return
	}
	e, peer := l.engine, l.remoteAddr(i, s).Addr()
	from := e.cfg.Source(peer)
	others, isPlaced := e.sources.move(k, from)
	if !isPlaced || !e.asks.Load() || !from.IsValid() {
		return
	}
	if isAdmitted := e.cfg.Admit(peer, others, l.poll.Now()); !e.sources.rule(k, isAdmitted, &e.account) {
		s.mark(false)
		l.setDue(i, l.tick+1)
		l.makeRoom(from, false)
	}
}
