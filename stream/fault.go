//go:build linux

package stream

import (
	"errors"
	"fmt"
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
