//go:build linux

package stream

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/usher-ws/usher/internal/timer"
	"github.com/usher-ws/usher/poller"
)

// Loop is one event loop with its streams. All of it belongs to the loop's goroutine but
// what says otherwise. T is what the owner keeps with every stream, in the table: it
// should be small, without a pointer. X is what it keeps with few of them, most of them
// for a moment.
type Loop[T, X any] struct {
	engine  *Engine[T, X]
	id      int
	handler Handler[T, X]
	poll    *poller.Loop
	wire    wire

	// Buffers lends memory to whatever straddles an event.
	Buffers Buffers

	// Streams.
	slab    slab[T]
	exts    exts[X]
	conns   atomic.Int32 // for the acceptor's choice
	buf     []byte       // what is read, of every stream in turn
	isFull  bool         // the last read filled buf: there may be more
	current uint32       // whose callback it is; 0: nobody's

	// Time.
	clock
	exact      timer.Heap  // points in time that are no ticks
	lingerers  timer.Queue // all linger equally long
	sweeping   uint32      // the slot that is next, while deadlines are looked at; else 0
	excused    bool        // the last look came late and was left out: what came in time is read first
	late       int64       // how many came late
	acceptAt   time.Duration
	listenings []listening // of the acceptor

	// Streams that wait for their turn.
	turns      []uint64
	going      []uint64 // those of them that are going on now
	ripe       int      // of which so many may go on: the pass in which they were held is over
	spareTurns []uint64

	inbox inbox

	// What goes wrong (fault.go).
	at       uint32         // the stream that is dealt with; 0: none
	underWay bool           // a call of the poller's
	exited   bool           // a callback has ended the goroutine, and that is known
	self     atomic.Uintptr // of the loop's goroutine; 0: it cannot be told

	failed     chan struct{} // closed when the kernel has refused to wait
	failedOnce sync.Once
}

// readSize is the shared read buffer: one recv of a busy stream.
const readSize = 64 << 10

func newLoop[T, X any](e *Engine[T, X], id int, origin time.Time) (*Loop[T, X], error) {
	l := &Loop[T, X]{engine: e, id: id, wire: plain{}, buf: make([]byte, readSize), failed: make(chan struct{})}
	l.slab.init()
	l.exts.weigh = e.cfg.Weigh
	l.Buffers.budget = e.cfg.MaxBuffered / e.cfg.Loops
	poll, err := poller.New(events[T, X]{l}, origin)
	if err != nil {
		return nil, err
	}
	l.poll = poll
	return l, nil
}

// begin is the first that is run on the loop's goroutine.
func (l *Loop[T, X]) begin() {
	l.self.Store(self())
	l.sweepAt = l.tick + sweepEvery
	l.schedule(0)
}

// ID is the loop's number, from 0. Safe for any goroutine.
func (l *Loop[T, X]) ID() int { return l.id }

// Now is the time of the current pass, by the engine's clock.
func (l *Loop[T, X]) Now() time.Duration { return l.poll.Now() }

// Wake makes Handler.Mail be called soon. Safe for any goroutine; calls that arrive
// before the loop answers share one.
func (l *Loop[T, X]) Wake() { l.poll.Wake() }

// Spin keeps the loop from blocking until the given time; see poller.Loop.
func (l *Loop[T, X]) Spin(until time.Duration) { l.poll.Spin(until) }

// Post runs f on the loop, soon and in the order of the calls. Safe for any goroutine. It
// is not bounded: for control, not for traffic. After Close it answers poller.ErrClosed.
func (l *Loop[T, X]) Post(f func()) error {
	return l.poll.Post(func() {
		defer l.survive()
		l.underWay, l.at = true, 0
		f()
		l.underWay = false
	})
}

// Close ends the loop and waits until nothing of it runs any more. Its streams must have
// been cut before. Not to be called on the loop.
func (l *Loop[T, X]) Close() error { return l.poll.Close() }

// Dead is closed when the kernel has refused to wait. Safe for any goroutine.
func (l *Loop[T, X]) Dead() <-chan struct{} { return l.failed }

// Streams returns how many streams the loop has. Safe for any goroutine.
func (l *Loop[T, X]) Streams() int { return int(l.conns.Load()) }

// IsHere reports whether the caller runs on the loop's goroutine; false where that cannot
// be told. Safe for any goroutine.
func (l *Loop[T, X]) IsHere() bool {
	of := l.self.Load()
	return of != 0 && self() == of
}

// CanTell reports whether IsHere can tell. Safe for any goroutine.
func (l *Loop[T, X]) CanTell() bool { return l.self.Load() != 0 }

// events is a loop as the poller sees it.
type events[T, X any] struct{ *Loop[T, X] }

func (e events[T, X]) Ready(data uint64, ev poller.Event) { e.onReady(data, ev) }
func (e events[T, X]) Wake()                              { e.onWake() }
func (e events[T, X]) Timer()                             { e.onTimer() }
func (e events[T, X]) After()                             { e.onAfter() }
func (e events[T, X]) Failed(err error)                   { e.onFailed(err) }

// onReady dispatches a readiness event. It comes once: if more may be there than was
// read, epoll has to look again.
func (l *Loop[T, X]) onReady(data uint64, ev poller.Event) {
	defer l.survive()
	l.underWay = true
	l.ready(data, ev)
	l.underWay = false
}

func (l *Loop[T, X]) ready(data uint64, ev poller.Event) {
	i, s := l.slab.find(data)
	if s == nil {
		return // an earlier event of the same pass closed it
	}
	l.isFull = false
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
	if l.isFull || ev&(poller.PeerClosed|poller.Hangup) != 0 {
		if i, s := l.slab.find(data); s != nil && s.flags&armedRead != 0 {
			l.watch(i, s)
		}
	}
}

// handle does what the table says about an event.
func (l *Loop[T, X]) handle(i uint32, s *slot[T], ev event) {
	l.at = i
	switch table[s.state][ev].do {
	case read:
		l.read(i, s)
	case flush:
		l.flush(i, s)
	case discard:
		l.discard(i, s)
	case expire:
		l.expire(i, s)
	case connected:
		l.connected(i, s)
	case release:
		l.release(i, s, ErrHangup)
	case ignore:
	default:
		l.engine.logError("stream: no such action", "state", s.state.String(), "event", ev.String())
	}
}

// onWake sees to new streams, what other goroutines asked for, and those whose turn
// it is.
func (l *Loop[T, X]) onWake() {
	defer l.survive()
	l.underWay, l.at = true, 0
	l.readClock()
	l.adoptAll()
	l.handler.Mail()
	l.takeTurns()
	l.underWay = false
}

// onTimer does what has come due, to the tick for most, exactly for some.
func (l *Loop[T, X]) onTimer() {
	defer l.survive()
	l.underWay, l.at = true, 0
	l.readClock()
	l.lookAtDeadlines()
	if l.acceptAt != 0 && l.acceptAt <= l.poll.Now() {
		l.resumeAccept()
	}
	l.underWay = false
}

// onAfter ends a pass: the owner has its turn, memory over the budget is freed, and the
// timer is set.
func (l *Loop[T, X]) onAfter() {
	defer l.survive()
	l.underWay, l.at = true, 0
	next := l.handler.Turn(l.poll.Now())
	if l.ripe = len(l.turns); l.ripe > 0 {
		l.poll.Wake() // come back after the others
	}
	if l.Buffers.isOver() {
		l.shed()
	}
	l.schedule(next)
	l.underWay = false
}

func (l *Loop[T, X]) onFailed(err error) {
	l.failedOnce.Do(func() { close(l.failed) })
	l.handler.Failed(err)
}
