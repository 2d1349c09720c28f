//go:build linux

package stream

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// ErrExited is the cause of a fault that was no panic: the goroutine has ended.
var ErrExited = errors.New("it has called runtime.Goexit")

// PanicError is a panic in a callback. Value is ErrExited for one that has called
// runtime.Goexit.
type PanicError struct {
	Value any
	Stack []byte
}

// Error says what the panic's value was.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// NoteExit says that a callback has called runtime.Goexit and that the caller has dealt
// with it: there is no Fault then. It is for what is deferred there; the loop goes on on
// another goroutine.
func (l *Loop[T, X]) NoteExit() { l.exited = true }

// DealWith says which stream a Fault would be about from here on, until the callback ends. It
// is for the callbacks that are about no stream.
func (l *Loop[T, X]) DealWith(s S[T, X]) { l.at = s.i }

// survive is deferred by all that the poller calls.
func (l events[T, X]) survive() {
	if !l.underWay {
		return
	}
	p, i := recover(), l.at
	known := l.exited // and done with
	l.underWay, l.exited, l.passing, l.at, l.current = false, false, false, 0, 0
	stays := false
	defer func() {
		if !stays { // the goroutine ends, perhaps only in Fault
			l.exited = false
			l.self.Store(0)
			l.lost = true
			_ = l.Post(l.begin)
		}
	}()
	l.poll.Wake() // for the rest of the pass
	switch {
	case p != nil:
		l.callFault(i, &PanicError{p, debug.Stack()})
		stays = true
	case known:
		l.handler.Fault(S[T, X]{}, nil)
	default:
		l.callFault(i, &PanicError{ErrExited, debug.Stack()})
	}
}

// callFault calls Fault. If that panics again, it was no stream's fault. A stream that is at
// fault again is cut, whatever its owner has done about it; if that is not enough, because the
// owner keeps the slot, it is the loop's fault: it must not go on for ever.
func (l events[T, X]) callFault(i uint32, e *PanicError) {
	defer func() {
		if p := recover(); p != nil {
			l.handler.Fault(S[T, X]{}, &PanicError{p, debug.Stack()})
		}
	}()
	if i == 0 {
		l.handler.Fault(S[T, X]{}, e)
		return
	}
	s := l.of(i, l.slab.at(i))
	again := l.faulty == s.Token()
	l.faulty = s.Token()
	l.handler.Fault(s, e)
	if !again || s.Token() != l.faulty {
		return
	}
	if s.State() == Gone {
		l.handler.Fault(S[T, X]{}, e)
		return
	}
	s.Cut(e)
}
