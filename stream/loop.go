//go:build linux

package stream

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/usher-ws/usher/internal/timer"
	"github.com/usher-ws/usher/poller"
)

// Loop is one event loop with its streams. All of it belongs to the loop's goroutine, unless
// a method says otherwise. T is what the owner keeps with every stream, in the table: it
// should be small, without a pointer. X is what it keeps with few of them, most of them
// for a moment.
type Loop[T, X any] struct {
	engine  *Engine[T, X]
	id      int
	handler Handler[T, X]
	poll    *poller.Loop
	wire    wire
	secure  secure

	// Buffers lends memory to whatever straddles an event.
	Buffers Buffers

	// Streams.
	slab    slab[T]
	exts    exts[X]
	pieces  pieces
	conns   atomic.Int32 // for the acceptor's choice
	dialled int          // of them
	buf     []byte       // what is read, of every stream in turn
	sent    uint64       // bytes that the kernel took, in all
	remains remains      // what the last read has left
	current uint32       // the stream whose callback is running; 0: none
	address address      // of what is dialled

	members map[uint32]uint32 // by slot: newcomers, and those that linger, in the engine's sources
	peers   peers
	making  bool // room, for one that comes

	relieved bool // victims are being made, or there are none left in this pass

	// Time.
	clock
	exact     timer.Heap // points in time that are no ticks
	sweeping  uint32     // the slot that is next, while deadlines are looked at; else 0
	excused   bool       // the last look came late and was left out: what came in time is read first
	late      int64      // how many came late
	lingering lingering[T, X]

	// Streams that wait for their turn.
	turns turns

	inbox inbox

	// What goes wrong (fault.go).
	at       uint32         // the stream that is dealt with; 0: none
	faulty   uint64         // the token of the stream that was at fault last
	passing  bool           // S.Pass sends
	underWay bool           // a call of the poller's
	exited   bool           // a callback has ended the goroutine, and that is known
	lost     bool           // another goroutine has taken its place and is not known yet
	self     atomic.Uintptr // of the loop's goroutine; 0: it cannot be told

	failed     chan struct{} // closed when the kernel has refused to wait
	failedOnce sync.Once
}

// readSize is the shared read buffer: one recv of a busy stream.
const readSize = 64 << 10

// ID is the loop's number, from 0. Safe for any goroutine.
func (l *Loop[T, X]) ID() int { return l.id }

// Now is the time of the current pass, by the engine's clock.
func (l *Loop[T, X]) Now() time.Duration { return l.poll.Now() }

// Sent is how many bytes the kernel has taken of all streams that there were.
func (l *Loop[T, X]) Sent() uint64 { return l.sent }

// Lent returns how many bytes of Buffers were lent at the end of the last pass, and the most at
// the end of any since it was last called. Safe for any goroutine.
func (l *Loop[T, X]) Lent() (now, most int) {
	now = int(l.Buffers.told.Load())
	return now, max(now, int(l.Buffers.most.Swap(0)))
}

// Wake makes Handler.Mail be called soon. Safe for any goroutine; calls that arrive
// before the loop answers share one.
func (l *Loop[T, X]) Wake() { l.poll.Wake() }

// Again makes Handler.Mail be called once more, after what is ready by then; see poller.Loop.
func (l *Loop[T, X]) Again() { l.poll.Again() }

// Spin keeps the loop from blocking until the given time; see poller.Loop.
func (l *Loop[T, X]) Spin(until time.Duration) { l.poll.Spin(until) }

// Close ends the loop and waits until nothing of it runs any more. Its streams must have
// been cut before. Not to be called on the loop.
func (l *Loop[T, X]) Close() error {
	err := l.poll.Close()
	l.self.Store(0) // another goroutine may have its number now
	return err
}

// Dead is closed when the kernel has refused to wait. Safe for any goroutine.
func (l *Loop[T, X]) Dead() <-chan struct{} { return l.failed }

// Streams returns how many streams the loop has. Safe for any goroutine.
func (l *Loop[T, X]) Streams() int { return int(l.conns.Load()) }

// Dialled returns how many of the loop's streams it has dialled. Only on the loop.
func (l *Loop[T, X]) Dialled() int { return l.dialled }

// IsHere reports whether the caller runs on the loop's goroutine; false where that cannot
// be told. Safe for any goroutine.
func (l *Loop[T, X]) IsHere() bool {
	of := l.self.Load()
	return of != 0 && self() == of
}

// IsElsewhere reports whether the caller certainly does not run on the loop's goroutine.
// Safe for any goroutine.
func (l *Loop[T, X]) IsElsewhere() bool {
	of := l.self.Load()
	return of != 0 && self() != of
}

// CanTell reports whether IsHere can tell. Safe for any goroutine.
func (l *Loop[T, X]) CanTell() bool { return l.self.Load() != 0 }

// S is a stream: a small value. It belongs to the loop's goroutine, and to the callback
// it was given to. To come back to it later, keep its Token and ask Loop.Find.
type S[T, X any] struct {
	loop *Loop[T, X]
	slot *slot[T]
	i    uint32
}

func (l *Loop[T, X]) of(i uint32, s *slot[T]) S[T, X] { return S[T, X]{l, s, i} }

func (l *Loop[T, X]) logError(msg string, args ...any) {
	if l.engine.cfg.LogError != nil {
		l.engine.cfg.LogError(msg, args...)
	}
}
