//go:build linux

package server

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/poller"
	"github.com/usher-ws/usher/upgrade"
	"golang.org/x/sys/unix"
)

// This file is the one exit: nothing else moves a connection to closing (but
// refuse, for one that was never open), to lingering or to closed.

var (
	errHangup       = errors.New("server: the peer hung up")
	errEvicted      = errors.New("server: lingered while others needed the room")
	errWriteTimeout = errors.New("server: the peer took nothing for too long")
	errCut          = errors.New("server: cut at the end of the drain")
)

var errTokenExpired = &CloseError{Code: statusTokenExpired, Reason: upgrade.CodeTokenExpired}

// statusTokenExpired is the close code of a token that was good until now: 401 in
// the range for applications, RFC 6455 §7.4.2, as it is for AcceptClose.
const statusTokenExpired frame.StatusCode = 4401

// panicError is a panic in the user's code.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("server: panic: %v", e.value) }

// Lingering ends when the peer hangs up, or lingerTime after what was said last has
// left. Of what it says meanwhile lingerBytes are read.
const (
	lingerTime  = 2 * time.Second
	lingerBytes = 256 << 10
)

// conclude ends an open or held connection for a reason of ours: out, then a
// close frame that tells e.
func (l *loop) conclude(i uint32, s *slot, out []byte, e *CloseError) {
	l.end(i, s, frame.AppendCloseFrame(out, e.Code, e.Reason), e)
}

// end begins to close an open or held connection whose last bytes are out, when its
// jobs are done if it has any.
func (l *loop) end(i uint32, s *slot, out []byte, e *CloseError) {
	if q := l.exts.get(s).line; q != nil {
		kept, first := bytes.Clone(out), q.then == nil
		if l.afterJobs(i, s, func(i uint32, s *slot) { l.end(i, s, kept, e) }) {
			if first {
				q.told = e
			}
			return
		}
	}
	l.routeOf(s).tally.BytesOut += int64(len(out))
	defer func() {
		s.state, s.why = closing, 0
		l.dropInput(s)
		l.transmit(i, s, out)
	}()
	l.depart(i, s, e)
}

// depart ends what the user has of a connection that was open: its groups, its
// Close callback, its quotas. It is carried out once.
func (l *loop) depart(i uint32, s *slot, e *CloseError) {
	if s.flags&opened == 0 {
		return
	}
	s.flags &^= opened
	s.gen.Or(closeAsked)
	l.routeOf(s).tally.countClose(e)
	l.refund(s)
	defer l.departed(s)
	defer l.tellLeft(l.routeOf(s), l.conn(i, s), l.leaveAll(i, s)) // which leaves now
	l.callClose(l.routeOf(s), l.conn(i, s), e)
}

// departed gives back what the connection had, after Close could ask about it.
func (l *loop) departed(s *slot) {
	q := quota{addr: l.exts.get(s).addr}
	if id := l.identities.get(s.ident); id != nil && l.srv.MaxConnsPerUser > 0 {
		q.name = id.Subject
	}
	q.release(l.srv)
	if s.ext != 0 {
		x := l.exts.get(s)
		x.addr, x.data, x.proto = quota{}.addr, nil, ""
		x.strikes, x.struck = 0, 0
		l.exts.trim(s)
	}
	l.places.drop(s.place)
	l.identities.drop(s.ident)
	s.place, s.ident = 0, 0
}

func (l *loop) callClose(r *loopRoute, c Conn, e *CloseError) {
	var err error
	defer l.guard(&err)
	l.enter(r)
	l.inside = true
	r.close(c, e)
	l.inside = false
}

// linger says FIN and waits for the peer's: closing a socket with unread input
// would send RST, and the peer could lose what it was told last, RFC 9112 §9.6.
func (l *loop) linger(i uint32, s *slot) {
	if err := unix.Shutdown(int(s.fd), unix.SHUT_WR); err != nil {
		l.release(i, s, err) // the peer has reset the connection
		return
	}
	s.state = lingering
	l.arm(i, s, armedRead)
	l.rest(i, s)
	if l.srv.reserved.Load() > int64(l.srv.reserve) {
		l.evictOldest()
	}
}

// rest lets a connection linger within the reserve, for lingerTime at the most.
func (l *loop) rest(i uint32, s *slot) {
	l.setDue(i, 0)
	l.lingerers.push(token(i, s.gen.Load()), l.poll.Now()+lingerTime)
	if s.flags&reserved == 0 {
		s.flags |= reserved
		l.srv.live.Add(-1)
		l.srv.reserved.Add(1)
	}
}

// expireLingering ends the lingering, unless what was said last has not left yet, or
// only just: as long as the peer keeps taking it, nothing is lost.
func (l *loop) expireLingering(i uint32, s *slot) {
	switch o := progress(int(s.fd)); {
	case !o.Waits() && o.Sent >= lingerTime-lateTick:
		l.release(i, s, errHangup)
	case o.Waits() && !l.takes(o):
		l.release(i, s, errWriteTimeout)
	case !l.spare(i, s, o):
		l.rest(i, s)
	}
}

// takes reports whether the peer has taken something within the write-timeout.
func (l *loop) takes(o poller.Outgoing) bool {
	limit := l.srv.writeTimeout()
	return limit == 0 || o.Taken() < limit
}

// evictOldest closes the connection that has lingered longest, and reports
// whether there was one.
func (l *loop) evictOldest() bool {
	for {
		tok, ok := l.lingerers.pop()
		if !ok {
			return false
		}
		if i, s := l.slab.find(tok); s != nil && !l.spare(i, s, progress(int(s.fd))) {
			l.srv.stats.evicted.Add(1)
			l.release(i, s, errEvicted)
			return true
		}
	}
}

// spare keeps a connection out of the reserve that has yet to send what was said last,
// to a peer that keeps taking it: it counts as any other, if there is room for one. It
// reports whether it did.
func (l *loop) spare(i uint32, s *slot, o poller.Outgoing) bool {
	if o.Unsent == 0 || !l.takes(o) {
		return false
	}
	if s.flags&reserved != 0 {
		if l.srv.live.Add(1) > int64(l.srv.connLimit) {
			l.srv.live.Add(-1)
			return false
		}
		l.srv.reserved.Add(-1)
		s.flags &^= reserved
	}
	l.setDue(i, l.deadline(lingerTime))
	return true
}

// discard reads what a peer still says that is not listened to any more.
func (l *loop) discard(i uint32, s *slot) {
	n, errno := l.recv(s)
	if n == 0 {
		if errno != unix.EAGAIN {
			l.release(i, s, errHangup)
		}
		return
	}
	x := l.exts.need(s)
	if x.drained += n; x.drained > lingerBytes {
		l.arm(i, s, 0) // the rest waits in the kernel
	}
}

// release closes the socket and frees all there is of the connection, the slot of one
// with jobs when they are done. If it was open until now there was no close frame:
// 1006.
func (l *loop) release(i uint32, s *slot, cause error) {
	if q := l.exts.get(s).line; q != nil {
		l.pin(i, s, q, cause)
		return
	}
	defer l.free(i, s)
	if s.flags&opened != 0 {
		l.depart(i, s, &CloseError{Code: frame.StatusAbnormalClosure, Err: cause})
	}
}

// free ends release.
func (l *loop) free(i uint32, s *slot) {
	if s.state == pending {
		l.abandon(l.takeQuestion(s))
	}
	l.shut(s)
	l.srv.discount(s.flags&reserved != 0)
	l.vacate(i, s)
}

// vacate frees the slot and its memory. The descriptor is closed or somebody
// else's.
func (l *loop) vacate(i uint32, s *slot) {
	if s.ext != 0 {
		x := l.exts.get(s)
		l.buffers.Put(x.head)
		l.buffers.Put(x.outbox)
		x.partial.Release(&frame.Config{Buffers: &l.buffers})
		*x = ext{}
		l.exts.trim(s)
	}
	l.conns.Add(-1)
	l.slab.put(i)
}

// shed closes those who hold most of the loop's buffers until it is within its
// budget again.
func (l *loop) shed() {
	for l.buffers.over() {
		var worst uint32
		size := 0
		for i := uint32(1); i < l.slab.next; i++ {
			s := l.slab.at(i)
			if s.ext == 0 {
				continue
			}
			x := l.exts.get(s)
			if s.state == closed && !x.line.waits() {
				continue // a job is under way: it cannot be dropped
			}
			if n := x.size(); n > size {
				worst, size = i, n
			}
		}
		if worst == 0 {
			return
		}
		s := l.slab.at(worst)
		l.at = worst
		q := l.exts.get(s).line
		if s.state == closed { // its peer has gone, its jobs have not
			l.dropJobs(q)
			l.endIfDone(worst, s, q)
			continue
		}
		l.srv.stats.shed.Add(1)
		if q != nil {
			l.dropJobs(q)
			l.release(worst, s, errShed)
			continue
		}
		if table[s.state][post].do == deliver {
			// What waits is what takes the room: it is dropped, from the end of
			// the frame that the peer has begun to receive. Without knowing where
			// that is, the connection can only be cut.
			if len(l.exts.get(s).unsent()) == 0 {
				l.conclude(worst, s, nil, &CloseError{Code: frame.StatusTryAgainLater, Reason: "memory"})
				continue
			}
		}
		l.release(worst, s, errShed)
	}
}

var errShed = errors.New("server: held most of the memory when it ran out")
