//go:build linux

package poller

import (
	"reflect"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/mailru/easygo/netpoll"
	"golang.org/x/sys/unix"
)

// watcher blocks in epoll on the goroutine that becomes the loop's, and calls
// back for the few descriptors it watches. It is easygo's low-level Epoll and
// nothing else of that package. What one must know to use it safely stays inside this
// type:
//
//   - a failed Add leaves the descriptor registered in easygo's map, so that the
//     number is refused for ever after: it is deleted again;
//   - closing a descriptor without Del poisons its number in the same way, so
//     owners call remove before close;
//   - events already taken from the kernel are dispatched after a Del: a removed
//     entry's callback is dead by a flag;
//   - Close blocks until the loop has ended, then calls every callback on the
//     closer's goroutine: those calls are dropped here, and Loop.Close refuses to
//     be called from the loop;
//   - the epoll descriptor and its eventfd lack CLOEXEC, and os/exec does not close
//     them either: every program that this one starts would have them, and with them
//     what they watch. They get it here;
//   - an error in wait ends the loop with only a callback: it is handed on;
//   - a callback that calls runtime.Goexit, as a test's FailNow does, ends the
//     goroutine and with it the Epoll: another one takes its place.
type watcher struct {
	failed func(error)

	mu      sync.Mutex // Start still adds while the first callbacks run
	ep      *netpoll.Epoll
	entries map[int]*entry
	closed  bool
	ending  sync.WaitGroup // Epolls that were replaced
}

// entry is a descriptor that is watched.
type entry struct {
	callback func()
	alive    atomic.Bool
	paused   bool
}

func newWatcher(failed func(error)) (*watcher, error) {
	ep, err := newEpoll(failed)
	if err != nil {
		return nil, err
	}
	return &watcher{failed: failed, ep: ep, entries: make(map[int]*entry)}, nil
}

// newEpoll returns an Epoll whose descriptors are closed on exec.
func newEpoll(failed func(error)) (*netpoll.Epoll, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	ep, err := netpoll.EpollCreate(&netpoll.EpollConfig{OnWaitError: failed})
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"fd", "eventFd"} {
		unix.CloseOnExec(int(reflect.ValueOf(ep).Elem().FieldByName(name).Int()))
	}
	return ep, nil
}

// epollClosed is the event that easygo makes up when it closes. It is not among the
// events that are asked for here.
const epollClosed netpoll.EpollEvent = 0x20

func (w *watcher) add(fd int, callback func()) error {
	e := &entry{callback: callback}
	e.alive.Store(true)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.register(fd, e); err != nil {
		return err
	}
	w.entries[fd] = e
	return nil
}

// register has the present Epoll watch fd. It is called under mu.
func (w *watcher) register(fd int, e *entry) error {
	events := netpoll.EpollEvent(unix.EPOLLIN)
	if e.paused {
		events = 0
	}
	err := w.ep.Add(fd, events, func(ev netpoll.EpollEvent) {
		if ev&epollClosed == 0 && e.alive.Load() {
			w.call(e)
		}
	})
	if err != nil && err != netpoll.ErrRegistered {
		_ = w.ep.Del(fd) // drops easygo's entry; the kernel has none to drop
	}
	return err
}

// call calls back. If the callback ends this goroutine, another one takes its place.
func (w *watcher) call(e *entry) {
	returned := false
	defer func() {
		if !returned {
			w.succeed()
		}
	}()
	e.callback()
	returned = true
}

// succeed replaces an Epoll whose goroutine is about to end, as the last thing on that
// goroutine.
func (w *watcher) succeed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	old := w.ep
	w.ending.Go(func() { _ = old.Close() })
	ep, err := newEpoll(w.failed)
	if err != nil {
		w.failed(err)
		return
	}
	w.ep = ep
	for fd, e := range w.entries {
		if err := w.register(fd, e); err != nil {
			w.failed(err)
			return
		}
	}
}

// pause stops watching fd without forgetting it.
func (w *watcher) pause(fd int) error { return w.modify(fd, true) }

// resume watches fd again after a pause.
func (w *watcher) resume(fd int) error { return w.modify(fd, false) }

func (w *watcher) modify(fd int, paused bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.entries[fd]
	if e == nil {
		return netpoll.ErrNotRegistered
	}
	e.paused = paused
	if paused {
		return w.ep.Mod(fd, 0)
	}
	return w.ep.Mod(fd, unix.EPOLLIN)
}

func (w *watcher) remove(fd int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := w.entries[fd]; e != nil {
		e.alive.Store(false)
		delete(w.entries, fd)
	}
	return w.ep.Del(fd)
}

// close ends the loop's goroutine and waits for it.
func (w *watcher) close() error {
	w.mu.Lock()
	w.closed = true
	ep := w.ep
	w.mu.Unlock()
	err := ep.Close()
	w.ending.Wait()
	return err
}
