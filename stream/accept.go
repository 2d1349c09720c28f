//go:build linux

package stream

import (
	"net/netip"
	"sync"
	"time"

	"github.com/usher-ws/usher/poller"
	"golang.org/x/sys/unix"
)

// acceptsPerTurn bounds how long new streams keep the acceptor from its own.
const acceptsPerTurn = 64

// acceptPause is how long the listeners rest when the process is out of
// descriptors or memory. Until then newcomers wait in the kernel's backlog.
const acceptPause = 100 * time.Millisecond

// adoption is a socket the acceptor gives to a loop.
type adoption struct {
	fd        int
	peer      netip.Addr // zero if it has none
	member    uint32     // of the engine's sources; 0: none
	listener  uint8      // its number and one; 0: none
	excess    bool       // without a place among MaxConns
	isProxied bool       // it begins with a header
	isSecured bool       // it begins with a handshake, behind the header
	inherited bool       // given to the acceptor, which is to assign it
}

// inbox is where a loop finds the sockets it is given.
type inbox struct {
	mu     sync.Mutex
	dead   bool // nothing is adopted any more; only the loop changes it
	queued []adoption

	leaving []uint64 // the tokens of streams that are to make room

	// The loop's.
	taken, spare []adoption
	next         int // how many of taken are done
}

// listening is a listening socket of the acceptor.
type listening struct {
	Listener
	number uint8
}

// acceptor is a loop as the one that accepts for all.
type acceptor[T, X any] struct {
	*Loop[T, X]
	listenings []listening
	pausedTo   time.Duration // when paused listeners are tried again; 0: they are not paused
}

// acceptSome takes up to n of those that wait.
func (l *acceptor[T, X]) acceptSome(from listening, n int) {
	for range n {
		conn, peer, errno := poller.Accept(from.FD)
		switch errno {
		case 0:
			l.assign(adoption{fd: conn, peer: peer.Addr(), listener: from.number + 1, isSecured: from.TLS})
		case unix.EAGAIN:
			return
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			l.pauseAccept(errno)
			return
		default:
			// The connection failed before we took it, accept(2): the next may not.
		}
	}
}

func (l *acceptor[T, X]) pauseAccept(cause error) {
	l.engine.acceptPauses.Add(1)
	l.logError("stream: accepting pauses", "err", cause)
	for _, at := range l.listenings {
		if err := l.poll.PauseListen(at.FD); err != nil {
			l.logError("stream: pause listener", "err", err)
		}
	}
	l.pausedTo = l.poll.Now() + acceptPause
}

func (l *acceptor[T, X]) resumeAccept() {
	l.pausedTo = 0
	for _, at := range l.listenings {
		if err := l.poll.ResumeListen(at.FD); err != nil {
			l.logError("stream: resume listener", "err", err)
		}
	}
}

// unlisten closes the listening sockets. What is in their backlogs is let in, unless others
// see to that.
func (l *acceptor[T, X]) unlisten() {
	listenings := l.listenings
	defer func() { // also if a callback does not return
		for _, at := range listenings {
			_ = l.poll.Unlisten(at.FD)
			unix.Close(at.FD)
		}
		l.pausedTo, l.listenings = 0, nil
	}()
	for _, at := range listenings {
		if at.Shared {
			continue
		}
		_ = poller.Unreachable(at.FD)
		l.acceptSome(at, poller.Backlog)
	}
}

// assign gives a new socket to the loop with the fewest; it runs on the acceptor. One
// beyond MaxConns, or whose address is over its limits, is let in only to be told so,
// within the reserve.
func (l *acceptor[T, X]) assign(a adoption) {
	e := l.engine
	a.inherited = false
	from := e.cfg.Source(a.peer)
	a.isProxied = e.cfg.IsProxy(a.peer)
	m := e.admit(a, from, l.poll.Now())
	a.excess = m.standing == surplus
	if (a.excess || e.Sockets() > e.mostConns()+e.cfg.Reserve) && !l.findRoom(a, from) {
		return
	}
	fewest := e.loops[0]
	for _, other := range e.loops[1:] {
		if other.conns.Load() < fewest.conns.Load() {
			fewest = other
		}
	}
	fewest.conns.Add(1)
	m.loop = int32(fewest.id)
	a.member = e.sources.add(from, m)
	switch isOwn := fewest == l.Loop; {
	case isOwn && !l.inbox.dead: // which this loop alone changes
		l.adopt(a)
	case !isOwn && fewest.inbox.put(a):
		fewest.Wake()
	default:
		fewest.refuse(a)
	}
}

// admit counts a newcomer, and says where it is to be. For one that is proxied the proxy's
// address counts until its header names another.
func (e *Engine[T, X]) admit(a adoption, from netip.Addr, now time.Duration) (m member) {
	if !e.seat(e.mostConns()) {
		e.reserved.Add(1)
		return member{standing: surplus}
	}
	if !e.asks.Load() || !from.IsValid() || a.isProxied {
		return member{}
	}
	if e.cfg.Admit(a.peer, e.sources.newcomers(from), now) {
		return member{opinion: admitted}
	}
	e.live.Add(-1)
	e.reserved.Add(1)
	return member{standing: surplus, opinion: over}
}

// findRoom makes room for a newcomer, or turns it away if there is none; also if the owner
// of another does not return.
func (l *acceptor[T, X]) findRoom(a adoption, from netip.Addr) (found bool) {
	e := l.engine
	defer func() {
		if !found {
			e.discount(a.excess)
			e.turnedAway.Add(1)
			unix.Close(a.fd)
		}
	}()
	l.makeRoom(from, true)
	if !a.excess {
		return e.Sockets() <= e.mostConns()+e.cfg.Reserve
	}
	most := e.cfg.Reserve
	if e.sources.hasMost(from) {
		most = (most + e.calm) / 2 // what is left is for others, while a loop is busy
	}
	return e.reserved.Load() <= int64(most)
}

// refuse closes a socket that the loop was to adopt.
func (l *Loop[T, X]) refuse(a adoption) {
	unix.Close(a.fd)
	if !a.inherited { // else it does not count yet
		l.conns.Add(-1)
		m := l.engine.sources.remove(a.member)
		l.engine.discount(m.standing != placed)
		if m.standing == leaving {
			l.engine.owed.Add(-1)
		}
	}
}

// put queues a socket; false if the loop adopts none any more.
func (b *inbox) put(a adoption) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead {
		return false
	}
	b.queued = append(b.queued, a)
	return true
}

// adoptAll begins the lives of the sockets that were queued, first of those that an
// unfinished pass has left.
func (l events[T, X]) adoptAll() {
	b := &l.inbox
	for {
		for b.next < len(b.taken) {
			b.next++
			if a := b.taken[b.next-1]; a.inherited {
				l.engine.acceptor.assign(a)
			} else {
				l.adopt(a)
			}
		}
		b.mu.Lock()
		b.spare, b.next = b.taken[:0], 0
		b.taken, b.queued = b.queued, b.spare
		b.mu.Unlock()
		if len(b.taken) == 0 {
			return
		}
	}
}

// adopt begins the life of a stream that was accepted.
func (l *Loop[T, X]) adopt(a adoption) {
	i, s := l.slab.take()
	l.at = i
	s.fd, s.state, s.listener = int32(a.fd), Flowing, a.listener
	if a.isSecured {
		s.state = Securing
	}
	if a.excess {
		s.flags |= excess | reserved
	}
	if a.isProxied {
		s.flags |= awaitsHeader
	}
	if a.member != 0 {
		l.members[i] = a.member
		if tok := token(i, s.gen.Load()); l.engine.sources.adopted(a.member, tok) {
			l.ask(tok)
		}
	}
	if err := l.poll.Add(a.fd, token(i, s.gen.Load()), interest(armedRead)); err != nil {
		l.logError("stream: cannot watch a socket", "err", err)
		l.unlist(i, s)
		l.shut(s)
		l.engine.discount(s.flags&reserved != 0)
		l.vacate(i, s)
		return
	}
	s.flags |= armedRead
	call := l.enter(i, s)
	l.handler.Opened(l.of(i, s))
	l.leave(i, s, call)
}

// StopAdopting refuses all new sockets from now on, and closes those on their way.
func (l *Loop[T, X]) StopAdopting() {
	b := &l.inbox
	b.mu.Lock()
	queued := b.queued
	b.dead, b.queued = true, nil
	b.mu.Unlock()
	for ; b.next < len(b.taken); b.next++ {
		l.refuse(b.taken[b.next])
	}
	for _, a := range queued {
		l.refuse(a)
	}
}
