//go:build linux

package stream

import (
	"runtime"
	"time"

	"github.com/usher-ws/usher/poller"
)

// This file is how a loop is run: what the poller calls, and what becomes of it when a
// callback does not return.

func newLoop[T, X any](e *Engine[T, X], id int, origin time.Time) (*Loop[T, X], error) {
	l := &Loop[T, X]{engine: e, id: id, wire: plain{}, buf: make([]byte, readSize), members: make(map[uint32]uint32), failed: make(chan struct{})}
	l.slab.init()
	l.exts.weigh = e.cfg.Weigh
	l.Buffers.budget = e.cfg.MaxBuffered / e.cfg.Loops
	poll, err := poller.New(events[T, X]{l}, origin)
	if err != nil {
		return nil, err
	}
	l.poll = poll
	l.lingering.Loop = l
	l.secure.most = max(runtime.GOMAXPROCS(0)/e.cfg.Loops, 1)
	return l, nil
}

// begin runs first on the loop's goroutine, and on each that takes its place.
func (l events[T, X]) begin() {
	l.self.Store(self())
	if l.sweepAt == 0 {
		l.sweepAt = l.tick + sweepEvery
	}
	l.schedule(0)
}

// Post runs f on the loop, soon and in the order of the calls. Safe for any goroutine. It
// is not bounded: for control, not for traffic. After Close it answers poller.ErrClosed.
func (l *Loop[T, X]) Post(f func()) error {
	return l.poll.Post(func() {
		defer events[T, X]{l}.survive()
		events[T, X]{l}.start()
		l.at = 0
		f()
		l.underWay = false
	})
}

// events is a loop as the poller sees it.
type events[T, X any] struct{ *Loop[T, X] }

// Ready dispatches a readiness event. It comes once: if more may be there than was
// read, epoll has to look again.
func (l events[T, X]) Ready(data uint64, ev poller.Event) {
	defer l.survive()
	l.start()
	l.ready(data, ev)
	l.underWay = false
}

func (l events[T, X]) ready(data uint64, ev poller.Event) {
	i, s := l.slab.find(data)
	if s == nil {
		return // an earlier event of the same pass closed it
	}
	l.remains = endLeft
	l.readClock()
	switch {
	case ev&poller.Hangup != 0:
		l.handle(i, s, hangup)
	case ev&poller.Readable != 0:
		if ev&poller.Writable != 0 && s.flags&armedWrite != 0 {
			l.handle(i, s, writable)
			if i, s = l.slab.find(data); s == nil {
				return
			}
		}
		l.handle(i, s, readable)
	case ev&poller.Writable != 0:
		l.handle(i, s, writable)
	}
	if l.remains == someLeft || l.remains == endLeft && ev&(poller.PeerClosed|poller.Hangup) != 0 {
		if i, s := l.slab.find(data); s != nil && s.flags&armedRead != 0 {
			l.watch(i, s)
		}
	}
}

// handle does what the table says about an event.
func (l events[T, X]) handle(i uint32, s *slot[T], ev event) {
	l.at = i
	if ev == hangup {
		s.flags |= hungUp
	}
	switch table[s.state][ev].do {
	case read:
		l.read(i, s)
	case flush:
		l.flush(i, s)
	case discard:
		l.lingering.discard(i, s)
	case expire:
		l.expire(i, s)
	case connected:
		l.connected(i, s)
	case negotiate:
		l.negotiate(i, s)
	case reply:
		l.reply(i, s)
	case hear:
		l.hear(i, s)
	case release:
		l.release(i, s, ErrHangup)
	case ignore:
	default:
		l.logError("stream: no such action", "state", s.state.String(), "event", ev.String())
	}
}

// Wake sees to new streams, what other goroutines asked for, and those whose turn
// it is.
func (l events[T, X]) Wake() {
	defer l.survive()
	l.start()
	l.at = 0
	l.readClock()
	l.adoptAll()
	l.attendHandshakes()
	l.evictAsked()
	l.handler.Mail()
	l.takeTurns()
	l.tellAll()
	l.underWay = false
}

// Timer does what has come due, to the tick for most, exactly for some.
func (l events[T, X]) Timer() {
	defer l.survive()
	l.start()
	l.at = 0
	l.readClock()
	l.lookAtDeadlines()
	if a := &l.engine.acceptor; l.Loop == a.Loop && a.pausedTo != 0 && a.pausedTo <= l.poll.Now() {
		a.resumeAccept()
	}
	l.underWay = false
}

// After ends a pass: the owner has its turn, memory over the budget is freed, and the
// timer is set.
func (l events[T, X]) After() {
	defer l.survive()
	l.start()
	l.at = 0
	next := l.handler.Turn(l.poll.Now())
	if l.turns.ripen() {
		l.poll.Again()
	}
	if l.Buffers.isOver() {
		l.exts.rankAll() // also what was lent in no callback
		l.shed()
	}
	l.relieved = false
	l.Buffers.tell()
	l.schedule(next)
	l.underWay = false
	l.letCompute()
}

func (l events[T, X]) Failed(err error) {
	l.failedOnce.Do(func() { close(l.failed) })
	l.handler.Failed(err)
}

// listen accepts what comes to a listening socket from now on. It runs on the acceptor.
func (l events[T, X]) listen(at listening) error {
	if err := l.poll.Listen(at.FD, func() { l.accept(at) }); err != nil {
		return err
	}
	a := &l.engine.acceptor
	a.listenings = append(a.listenings, at)
	return nil
}

// accept takes what waits on a listening socket. It runs on the acceptor, loop 0.
func (l events[T, X]) accept(from listening) {
	defer l.survive()
	l.start()
	l.at = 0
	l.readClock()
	l.engine.acceptor.acceptSome(from, acceptsPerTurn)
	l.underWay = false
}

// start is what all that the poller calls begins with: the first after a callback that has
// ended the goroutine knows where it runs, so that whoever asks there is not made to wait.
func (l events[T, X]) start() {
	if l.lost {
		l.lost = false
		l.self.Store(self())
	}
	l.underWay = true
}
