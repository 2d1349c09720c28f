//go:build linux

package server

import (
	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/poller"
	"golang.org/x/sys/unix"
)

var errBacklogClose = &CloseError{Code: frame.StatusTryAgainLater, Reason: "backlog"}

// deliver sends b, whole frames with n messages in them, which others than the
// connection's own event have said.
func (l *loop) deliver(i uint32, s *slot, b []byte, n int) {
	if waiting := len(l.exts.get(s).unsent()); waiting > 0 && waiting+len(b) > l.srv.maxBacklog() {
		l.overflow(i, s, n)
		return
	}
	t := &l.routeOf(s).tally
	t.MessagesOut += int64(n)
	t.BytesOut += int64(len(b))
	l.transmit(i, s, b)
}

// overflow does about n messages what the route says of a peer that has let too much
// pile up.
func (l *loop) overflow(i uint32, s *slot, n int) {
	if r := l.routeOf(s); r.Overflow == DropNewest {
		r.tally.Dropped += int64(n)
		return
	}
	if q := l.exts.get(s).line; q != nil && q.then != nil {
		return // it ends anyway
	}
	l.srv.stats.slow.Add(1)
	l.conclude(i, s, nil, errBacklogClose)
}

// transmit gives b to the kernel, or what it does not take to the outbox, and
// brings the connection into the state that follows from it. b is not kept.
func (l *loop) transmit(i uint32, s *slot, b []byte) {
	if len(b) > 0 && len(l.exts.get(s).unsent()) == 0 {
		n, errno := send(s, b)
		if errno != 0 && errno != unix.EAGAIN {
			l.release(i, s, errno)
			return
		}
		b = b[n:]
	}
	if len(b) > 0 {
		l.queue(i, s, b)
	}
	l.settle(i, s)
}

// send gives b to the kernel; when nothing will follow, so that FIN goes with it.
func send(s *slot, b []byte) (int, unix.Errno) {
	if s.state == closing {
		return poller.SendLast(int(s.fd), b)
	}
	return poller.Send(int(s.fd), b)
}

// queue appends b to the outbox.
func (l *loop) queue(i uint32, s *slot, b []byte) {
	x := l.exts.need(s)
	if len(x.unsent()) == 0 {
		s.flags |= owesDrain
		x.stalled = l.tick
		l.setDue(i, l.deadline(l.srv.writeTimeout()))
		l.dueBy(i, l.expiry(s))
	}
	if x.sent > 0 && len(x.outbox)+len(b) > cap(x.outbox) {
		x.outbox = x.outbox[:copy(x.outbox, x.unsent())]
		x.sent = 0
	}
	x.outbox = l.buffers.grow(x.outbox, b)
}

// settle chooses the state that fits: bytes that wait, a reason to be held, or
// neither.
func (l *loop) settle(i uint32, s *slot) {
	waiting := len(l.exts.get(s).unsent()) > 0
	switch {
	case s.state == closing && waiting:
		l.arm(i, s, armedWrite)
	case s.state == closing:
		l.linger(i, s)
	case waiting:
		s.state = held
		s.why |= byBacklog
		l.stopMessage(s)
		l.arm(i, s, armedWrite)
	case s.why != 0:
		s.state = held
		l.stopMessage(s)
		l.setDue(i, l.expiry(s))
		l.arm(i, s, 0)
	default:
		s.state = open
		l.arm(i, s, armedRead)
	}
}

// flush gives the kernel what waits, and lets the connection go on when nothing
// does any more.
func (l *loop) flush(i uint32, s *slot) {
	x := l.exts.need(s)
	n, errno := send(s, x.unsent())
	if errno != 0 && errno != unix.EAGAIN {
		l.release(i, s, errno)
		return
	}
	x.sent += n
	if n > 0 {
		x.stalled = l.tick
	}
	if len(x.unsent()) > 0 {
		if n == poller.SendLimit {
			l.watch(i, s) // there may be room for more
		}
		return
	}
	l.buffers.Put(x.outbox)
	x.outbox, x.sent, x.stalled = nil, 0, 0
	l.exts.trim(s)
	if s.state == closing {
		l.linger(i, s)
		return
	}
	s.why &^= byBacklog
	if !l.resume(i, s) {
		l.settle(i, s)
	}
}

// arm tells epoll what to report, armedRead or armedWrite, if that has changed.
func (l *loop) arm(i uint32, s *slot, want flags) {
	if s.flags&(armedRead|armedWrite) == want {
		return
	}
	s.flags = s.flags&^(armedRead|armedWrite) | want
	l.watch(i, s)
}

// watch has epoll report what the connection is armed for, and what of it is the case
// already.
func (l *loop) watch(i uint32, s *slot) {
	if err := l.poll.Mod(int(s.fd), token(i, s.gen.Load()), interest(s.flags)); err != nil {
		l.srv.log.error("server: cannot rearm a connection", "err", err)
	}
}

// interest is what epoll is asked for. An edge is reported once, which saves the kernel
// a second look at every connection that was read from.
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
