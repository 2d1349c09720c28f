//go:build linux

package server

import (
	"fmt"
	"runtime/debug"

	"github.com/usher-ws/usher/frame"
	"github.com/usher-ws/usher/stream"
)

// This file is what becomes of the user's code when it panics on a loop, or ends the
// loop's goroutine: runtime.Goexit cannot be undone, and a test's FailNow calls it. Both
// are the end of its connection, with 1011 or a 500. What has to be done behind a
// callback is deferred, so that it is done in any case; then the loop goes on on another
// goroutine.

// errInternal is the end of a connection for which our code or the user's has failed.
var errInternal = &CloseError{Code: frame.StatusInternalError, Reason: "internal"}

// errExited stands for the panic value of code that has called runtime.Goexit.
var errExited = stream.ErrExited

// panicError is a panic in the user's code.
type panicError struct {
	value any
	stack []byte
}

// Error says what the panic's value was.
func (e *panicError) Error() string { return fmt.Sprintf("server: panic: %v", e.value) }

// guard is deferred around the user's code, and turns a panic of it into an error.
func (l *loop) guard(err *error) {
	if p := recover(); p != nil || l.inside {
		*err = l.panicked(p)
	}
}

// try calls the user's code. A panic of it, and runtime.Goexit, are errors.
func (l *loop) try(f func() error) (err error) {
	defer l.guard(&err)
	l.inside = true
	err = f()
	l.inside = false
	return err
}

// panicked logs what was recovered. If that is nothing, the goroutine ends.
func (l *loop) panicked(p any) error {
	l.inside = false
	if p == nil {
		p = errExited
		l.NoteExit()
	}
	e := &panicError{p, debug.Stack()}
	l.logPanic(e)
	return e
}

func (l *loop) logPanic(e *panicError) {
	l.srv.log.error("server: panic in a handler", "panic", e.value, "stack", string(e.stack))
}
