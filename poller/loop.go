//go:build linux

package poller

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Handler is what a loop calls, always on its own goroutine. No method may block. If a
// method ends the goroutine with runtime.Goexit, the loop goes on with the next event, on
// another goroutine.
type Handler interface {
	// Ready says that the descriptor added with data is in the given conditions.
	// An event may be stale: the descriptor may have been removed, or its number
	// reused, by an earlier event of the same pass. Data tells.
	Ready(data uint64, ev Event)
	// Wake follows at least one call of Loop.Wake.
	Wake()
	// Timer says that the time given to SetTimer has come.
	Timer()
	// After ends every pass, and every Wake and Timer outside one.
	After()
	// Failed says that the loop has ended because the kernel refused to wait.
	Failed(err error)
}

// ErrClosed is what the methods of a closed loop return.
var ErrClosed = errors.New("poller: loop is closed")

// Loop is one event loop. Create it with New, add descriptors, Start it.
type Loop struct {
	h     Handler
	set   *set
	watch *watcher // nil before Start

	// The clock, read once per pass.
	origin time.Time
	now    time.Duration
	armed  time.Duration // when the timerfd will fire; 0 when it is not armed
	spin   time.Duration // until when the loop does not block
	again  bool          // Again was called since the last Wake
	gave   time.Duration // when it last let others run

	timerFD int
	wakeFD  int

	// What is left of a pass when a callback ends the goroutine it was called on; the
	// next one goes on with it.
	ready []unix.EpollEvent
	posts []func()

	// What other goroutines may touch.
	woken  atomic.Bool // a wake-up is on its way: no second write needed
	mu     sync.Mutex
	posted []func()
	ended  bool // the wait has failed
	closed bool
}

// New makes a loop that has not started yet: descriptors can be added, nothing is
// dispatched. Its clock counts from origin, so that loops of one origin agree.
func New(h Handler, origin time.Time) (*Loop, error) {
	s, err := newSet()
	if err != nil {
		return nil, err
	}
	timerFD, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		s.close()
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	wakeFD, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		s.close()
		unix.Close(timerFD)
		return nil, os.NewSyscallError("eventfd", err)
	}
	l := &Loop{h: h, set: s, origin: origin, timerFD: timerFD, wakeFD: wakeFD}
	l.readClock()
	return l, nil
}

// Start begins the loop's goroutine. What was posted before is run first.
func (l *Loop) Start() error {
	w, err := newWatcher(l.fail)
	if err != nil {
		return err
	}
	l.watch = w
	for _, e := range []struct {
		fd       int
		callback func()
	}{{l.wakeFD, l.onWake}, {l.timerFD, l.onTimer}, {l.set.fd, l.onReady}} {
		if err := w.add(e.fd, l.lasting(e.callback)); err != nil {
			return errors.Join(err, w.close())
		}
	}
	return nil
}

// Add watches fd for want in the loop's set; its events come with data. Unless want
// has Edge, an event comes back as long as its condition lasts.
func (l *Loop) Add(fd int, data uint64, want Event) error {
	return l.set.ctl(unix.EPOLL_CTL_ADD, fd, data, want)
}

// Mod changes what fd is watched for, and reports again the conditions that hold. With no
// condition only Hangup is reported.
func (l *Loop) Mod(fd int, data uint64, want Event) error {
	return l.set.ctl(unix.EPOLL_CTL_MOD, fd, data, want)
}

// Remove stops watching fd. It must come before the descriptor is closed or
// handed on.
func (l *Loop) Remove(fd int) error { return l.set.ctl(unix.EPOLL_CTL_DEL, fd, 0, 0) }

// Listen calls back whenever fd, usually a listening socket, is readable, until
// Unlisten. Only after Start, on the loop.
func (l *Loop) Listen(fd int, callback func()) error {
	return l.watch.add(fd, l.lasting(func() {
		l.readClock()
		callback()
		l.after()
	}))
}

// lasting returns f, but if a callback of f ends its goroutine, the rest of the pass follows.
func (l *Loop) lasting(f func()) func() {
	return func() {
		returned := false
		defer func() {
			if !returned {
				l.woken.Store(false) // the wake-up may have been taken
				l.Wake()
			}
		}()
		f()
		returned = true
	}
}

// PauseListen stops the callbacks for fd, ResumeListen lets them come again.
func (l *Loop) PauseListen(fd int) error { return l.watch.pause(fd) }

// ResumeListen undoes PauseListen.
func (l *Loop) ResumeListen(fd int) error { return l.watch.resume(fd) }

// Unlisten ends the callbacks for fd. It must come before fd is closed.
func (l *Loop) Unlisten(fd int) error { return l.watch.remove(fd) }

// Now is the time of the current pass, counted from the loop's origin.
func (l *Loop) Now() time.Duration { return l.now }

// SetTimer has Handler.Timer called once, at the given time. An earlier
// time replaces a later one; a later one is ignored: a handler that is called
// too early sets the timer again.
func (l *Loop) SetTimer(at time.Duration) error {
	if l.armed != 0 && l.armed <= at {
		return nil
	}
	// Counted from now, not from the pass's clock: a long pass would delay it. Zero
	// would disarm it.
	wait := max(at-time.Since(l.origin), 1)
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(wait))}
	if err := unix.TimerfdSettime(l.timerFD, 0, &spec, nil); err != nil {
		return os.NewSyscallError("timerfd_settime", err)
	}
	l.armed = at
	return nil
}

// Spin keeps the loop from blocking until the given time, for handlers that must not be
// late: a sleeping loop wakes up 50 to 100 µs after its time. Until then pass follows
// pass, each with its After, whether anything is ready or not; every After may
// set another time. It takes a whole processor. Only on the loop.
func (l *Loop) Spin(until time.Duration) { l.spin = until }

// Wake has Handler.Wake called soon. It is safe for any goroutine; calls that
// come before the loop answers share one.
func (l *Loop) Wake() {
	if l.woken.Swap(true) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		one := [8]byte{1} // any value but zero; the counter cannot overflow
		_, _ = unix.Write(l.wakeFD, one[:])
	}
}

// Again has Handler.Wake called once more, after what is ready by then: for work that is done
// a part at a time. It costs one look at what is ready, a fifth of Wake on the loop. Only on
// the loop.
func (l *Loop) Again() { l.again = true }

// Post runs f on the loop, soon and in the order of the calls. Safe for any
// goroutine. It allocates and is not bounded, so it is for control, not for
// traffic. After Close it returns ErrClosed, and f never runs.
func (l *Loop) Post(f func()) error {
	l.mu.Lock()
	if l.closed || l.ended {
		l.mu.Unlock()
		return ErrClosed
	}
	l.posted = append(l.posted, f)
	l.mu.Unlock()
	l.Wake()
	return nil
}

// fail is called when waiting has failed: nothing that is posted would run any more.
func (l *Loop) fail(err error) {
	l.mu.Lock()
	l.ended = true
	l.posted = nil
	l.mu.Unlock()
	l.h.Failed(err)
}

// Close ends the loop and waits until nothing of it runs any more. Descriptors
// that were added stay open; they belong to their owner. It must not be called on the
// loop. A second call returns ErrClosed.
func (l *Loop) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	l.closed = true
	l.posted = nil
	l.mu.Unlock()
	var err error
	if l.watch != nil {
		err = l.watch.close()
	}
	l.set.close()
	unix.Close(l.timerFD)
	unix.Close(l.wakeFD)
	return err
}
