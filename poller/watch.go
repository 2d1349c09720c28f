//go:build linux

package poller

import (
	"sync"
	"sync/atomic"

	"github.com/mailru/easygo/netpoll"
	"golang.org/x/sys/unix"
)

// watcher blocks in epoll on the goroutine that becomes the loop's, and calls
// back for the few descriptors it watches. It is easygo's low-level Epoll and
// nothing else of that package; what one must know to use it safely is closed
// here:
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
//   - the epoll descriptor and its eventfd lack CLOEXEC: Go's os/exec closes what
//     it does not pass on, but a raw fork would inherit them;
//   - an error in wait ends the loop with only a callback: it is handed on.
type watcher struct {
	ep *netpoll.Epoll

	mu      sync.Mutex           // Start still adds while the first callbacks run
	entries map[int]*atomic.Bool // whether the callback of the fd is alive
}

func newWatcher(failed func(error)) (*watcher, error) {
	ep, err := netpoll.EpollCreate(&netpoll.EpollConfig{OnWaitError: failed})
	if err != nil {
		return nil, err
	}
	return &watcher{ep: ep, entries: make(map[int]*atomic.Bool)}, nil
}

// epollClosed is the event easygo makes up when it closes; it is no event of the
// kernel's that is asked for here.
const epollClosed netpoll.EpollEvent = 0x20

func (w *watcher) add(fd int, callback func()) error {
	alive := new(atomic.Bool)
	alive.Store(true)
	err := w.ep.Add(fd, unix.EPOLLIN, func(ev netpoll.EpollEvent) {
		if ev&epollClosed == 0 && alive.Load() {
			callback()
		}
	})
	if err != nil {
		if err != netpoll.ErrRegistered {
			_ = w.ep.Del(fd) // drops easygo's entry; the kernel has none to drop
		}
		return err
	}
	w.mu.Lock()
	w.entries[fd] = alive
	w.mu.Unlock()
	return nil
}

// pause stops watching fd without forgetting it.
func (w *watcher) pause(fd int) error { return w.ep.Mod(fd, 0) }

// resume watches fd again after a pause.
func (w *watcher) resume(fd int) error { return w.ep.Mod(fd, unix.EPOLLIN) }

func (w *watcher) remove(fd int) error {
	w.mu.Lock()
	if alive := w.entries[fd]; alive != nil {
		alive.Store(false)
		delete(w.entries, fd)
	}
	w.mu.Unlock()
	return w.ep.Del(fd)
}

// close ends the loop's goroutine and waits for it.
func (w *watcher) close() error { return w.ep.Close() }
