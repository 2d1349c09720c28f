//go:build linux

package nats

import "sync"

// queue is what goes from many goroutines to one, in order and bounded in bytes. Putting
// never waits. wake has a value when there is something to take.
type queue[T any] struct {
	wake chan struct{}
	most int // bytes; what must be put counts too, but is never refused

	mu    sync.Mutex
	items []T
	bytes int // of items and of what was taken last, which may still be in use
	taken int
}

func newQueue[T any](most int) queue[T] { return queue[T]{wake: make(chan struct{}, 1), most: most} }

// put adds an item of so many bytes, and reports whether there was room for it.
func (q *queue[T]) put(item T, size int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.putLocked(item, size, false)
}

// must adds an item that is small, and without which there would be no end of trouble.
func (q *queue[T]) must(item T, size int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.putLocked(item, size, true)
}

// putLocked is put and must for callers that hold mu.
func (q *queue[T]) putLocked(item T, size int, must bool) bool {
	if q.bytes+size > q.most && !must {
		return false
	}
	q.items = append(q.items, item)
	q.bytes += size
	select {
	case q.wake <- struct{}{}:
	default: // it has one
	}
	return true
}

// isBusy reports whether the queue is half full. It is called with mu held.
func (q *queue[T]) isBusy() bool { return q.bytes > q.most/2 }

// take returns all items, and ends the use of those that it returned before.
func (q *queue[T]) take() (items []T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= q.taken
	q.taken = q.bytes
	items, q.items = q.items, nil
	return items
}

// each calls f with all that is put, on the calling goroutine, until done is closed.
func (q *queue[T]) each(done <-chan struct{}, f func(T)) {
	for {
		select {
		case <-done:
			return
		case <-q.wake:
		}
		for items := q.take(); len(items) > 0; items = q.take() {
			for i := range items {
				f(items[i])
				clear(items[i : i+1]) // large ones go as soon as they may
			}
		}
	}
}
