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

// Error says with what it panicked.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// NoteExit says that a callback has called runtime.Goexit and that the caller has dealt
// with it: there is no Fault then. It is for what is deferred there; the loop goes on on
// another goroutine.
func (l *Loop[T, X]) NoteExit() { l.exited = true }

// DealWith says whom a Fault would be about from here on, until the callback ends. It is
// for the callbacks that are about no stream.
func (l *Loop[T, X]) DealWith(s S[T, X]) { l.at = s.i }

// survive is deferred by all that the poller calls.
func (l *Loop[T, X]) survive() {
	if !l.underWay {
		return
	}
	p, i := recover(), l.at
	known := l.exited // and done with
	l.underWay, l.exited, l.at, l.current = false, false, 0, 0
	if p == nil {
		l.self.Store(0)
		_ = l.Post(l.begin)
	}
	l.poll.Wake() // for the rest of the pass
	if known && p == nil {
		l.handler.Fault(S[T, X]{}, nil)
		return
	}
	if p == nil {
		p = ErrExited
	}
	l.callFault(i, &PanicError{p, debug.Stack()})
}

// callFault tells the owner, who may panic again: then it was no stream's fault.
func (l *Loop[T, X]) callFault(i uint32, e *PanicError) {
	defer func() {
		if p := recover(); p != nil {
			l.handler.Fault(S[T, X]{}, &PanicError{p, debug.Stack()})
		}
	}()
	var s S[T, X]
	if i != 0 {
		s = l.of(i, l.slab.at(i))
	}
	l.handler.Fault(s, e)
}
