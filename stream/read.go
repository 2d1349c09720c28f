//go:build linux

package stream

import "golang.org/x/sys/unix"

// read reads once and hands over what came. It reports whether anything did.
func (l *Loop[T, X]) read(i uint32, s *slot[T]) bool {
	if s.flags&awaitsHeader != 0 && !l.readHeader(i, s) {
		return false
	}
	n, errno := l.recv(s)
	if n == 0 && errno == 0 && s.flags&deaf != 0 {
		errno = unix.ECONNRESET // which sending has been told of already
	}
	if n == 0 && errno != 0 {
		if errno != unix.EAGAIN {
			l.release(i, s, errno)
		}
		return errno != unix.EAGAIN
	}
	call := l.enter(i, s)
	l.handler.Input(l.of(i, s), l.buf[:n], n == 0)
	l.leave(i, s, call)
	return true
}

// readOnce is read in the middle of another stream's event.
func (l *Loop[T, X]) readOnce(i uint32, s *slot[T]) bool {
	before := l.remains // of the stream whose event it is
	heard := l.read(i, s)
	l.remains = before
	return heard
}

// hear ends a held stream whose peer has hung up; but if streams are always read from, what
// the peer said before is heard first. There is no use in holding it then, and none in what
// waits.
func (l *Loop[T, X]) hear(i uint32, s *slot[T]) {
	if !l.engine.cfg.ReadAlways {
		l.release(i, s, ErrHangup)
		return
	}
	if x := l.exts.get(s.ext); x.outbox.waiting > 0 {
		l.setDue(i, x.due)
		l.dropOutbox(i, s)
	}
	s.why = 0
	l.settle(i, s)
}
