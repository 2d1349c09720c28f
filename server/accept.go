//go:build linux

package server

import (
	"time"

	"github.com/usher-ws/usher/poller"
	"golang.org/x/sys/unix"
)

// acceptsPerTurn bounds how long new connections keep the acceptor from its own.
const acceptsPerTurn = 64

// acceptPause is how long the listeners rest when the process is out of
// descriptors or memory. Until then newcomers wait in the kernel's backlog.
const acceptPause = 100 * time.Millisecond

// accept takes what waits on the listening socket fd. It runs on the acceptor,
// loop 0.
func (l *loop) accept(fd int) {
	defer l.survive()
	l.underWay, l.at = true, 0
	l.readClock()
	l.acceptSome(fd, acceptsPerTurn)
	l.underWay = false
}

// acceptSome takes up to n of those who wait, and reports whether there may be more.
func (l *loop) acceptSome(fd, n int) (more bool) {
	for range n {
		conn, _, errno := poller.Accept(fd)
		switch errno {
		case 0:
			l.srv.place(conn)
		case unix.EAGAIN:
			return false
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			l.pauseAccept(errno)
			return false
		default:
			// The connection failed before we took it, accept(2): the next may not.
		}
	}
	return true
}

func (l *loop) pauseAccept(cause error) {
	l.srv.stats.acceptPauses.Add(1)
	l.srv.log.error("server: accepting pauses", "err", cause)
	for _, fd := range l.srv.listeners {
		if err := l.poll.PauseListen(fd); err != nil {
			l.srv.log.error("server: pause listener", "err", err)
		}
	}
	l.acceptAt = l.poll.Now() + acceptPause
}

func (l *loop) resumeAccept() {
	l.acceptAt = 0
	for _, fd := range l.srv.listeners {
		if err := l.poll.ResumeListen(fd); err != nil {
			l.srv.log.error("server: resume listener", "err", err)
		}
	}
}

// place gives a new connection to the loop with the fewest; it runs on the acceptor.
// A connection beyond max-conns is let in only to be told so, within the lingering
// reserve.
func (s *Server) place(fd int) {
	a := adoption{fd: fd}
	if n := s.live.Add(1); n > int64(s.connLimit) {
		s.live.Add(-1)
		a.over = true
		if s.reserved.Add(1) > int64(s.reserve) && !s.loops[0].evictOldest() {
			s.reserved.Add(-1)
			s.stats.turnedAway.Add(1)
			unix.Close(fd)
			return
		}
	}
	fewest := s.loops[0]
	for _, l := range s.loops[1:] {
		if l.conns.Load() < fewest.conns.Load() {
			fewest = l
		}
	}
	fewest.conns.Add(1)
	if fewest == s.loops[0] { // the acceptor's own
		fewest.adopt(a)
		return
	}
	if !fewest.mail.adopt(a) {
		s.discount(a.over)
		unix.Close(fd)
	}
}

// adopt begins the life of a connection on this loop.
func (l *loop) adopt(a adoption) {
	i, s := l.slab.take()
	l.at = i
	s.fd, s.state, s.last = int32(a.fd), head, l.tick
	if a.over {
		s.flags |= overFull | reserved
	}
	l.setDue(i, l.deadline(l.srv.handshakeTimeout()))
	if l.drain.active {
		l.dueBy(i, l.deadline(drainSilence))
	}
	if err := l.poll.Add(a.fd, token(i, s.gen.Load()), interest(armedRead)); err != nil {
		l.srv.log.error("server: cannot watch a connection", "err", err)
		l.release(i, s, err)
		return
	}
	s.flags |= armedRead
}
