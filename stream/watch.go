//go:build linux

package stream

import (
	"github.com/usher-ws/usher/poller"
	"golang.org/x/sys/unix"
)

// arm tells epoll what to report, armedRead or armedWrite, if that has changed.
func (l *Loop[T, X]) arm(i uint32, s *slot[T], want flags) {
	if s.flags&(armedRead|armedWrite) == want {
		return
	}
	s.flags = s.flags&^(armedRead|armedWrite) | want
	l.watch(i, s)
}

// watch makes epoll report what the stream is armed for, also what is true already.
func (l *Loop[T, X]) watch(i uint32, s *slot[T]) {
	if err := l.poll.Mod(int(s.fd), token(i, s.gen.Load()), interest(s.flags)); err != nil {
		l.logError("stream: cannot rearm a socket", "err", err)
	}
}

// interest is what epoll is asked for. An edge is reported once, which saves the kernel
// a second look at every stream that was read from. The peer's end is asked for with
// readable alone: a held stream reads nothing, so it has no use for it.
func interest(f flags) poller.Event {
	want := poller.Edge
	if f&armedRead != 0 {
		want |= poller.Readable | poller.PeerClosed
	}
	if f&armedWrite != 0 {
		want |= poller.Writable
	}
	return want
}

// remains is what a read may have left for the next.
type remains uint8

const (
	noneLeft remains = iota // it was the end
	endLeft                 // the end, but no bytes
	someLeft                // bytes: it has filled its buffer
)

// recv reads once into l.buf[from:].
func (l *Loop[T, X]) recv(s *slot[T], from int) (int, unix.Errno) {
	n, errno := l.wire.recv(int(s.fd), l.buf[from:])
	switch {
	case n == len(l.buf)-from:
		l.remains = someLeft
	case n == 0 && errno == 0:
		l.remains = noneLeft
	default:
		l.remains = endLeft
	}
	if n == 0 && errno == 0 && s.flags&deaf != 0 {
		errno = unix.ECONNRESET // which sending has been told of already
	}
	return n, errno
}
