//go:build linux

package server

import (
	"fmt"
	"sync/atomic"
)

// phase is where a Server is in its life. It only goes forward.
type phase int32

const (
	fresh    phase = iota // fields may be set, routes added
	starting              // Start is under way
	failed                // Start has failed
	running
	draining // Shutdown was called
	down     // Shutdown is done
)

// String says it as an error does.
func (p phase) String() string {
	return [...]string{"it has not been started", "it is starting", "its start has failed", "it runs", "Shutdown was called", "it has been shut down"}[p]
}

// life is a Server's phase. Any goroutine may ask.
type life struct{ now atomic.Int32 }

func (l *life) phase() phase { return phase(l.now.Load()) }

// goOn goes from one phase to the next, or says why it cannot.
func (l *life) goOn(from, to phase) error {
	if l.now.CompareAndSwap(int32(from), int32(to)) {
		return nil
	}
	return l.not(from)
}

// not is the error of what can only be done in another phase.
func (l *life) not(want phase) error {
	if want == running {
		return fmt.Errorf("server: not running: %v", l.phase())
	}
	return fmt.Errorf("server: too late: %v", l.phase())
}

// hasRun reports whether there are loops to ask.
func (l *life) hasRun() bool { return l.phase() >= running }

// isDraining reports whether newcomers are sent away.
func (l *life) isDraining() bool { return l.phase() >= draining }

// mustBeFresh panics with what cannot be done any more.
func (l *life) mustBeFresh(what string) {
	if p := l.phase(); p != fresh {
		panic(fmt.Errorf("server: %s must be called before Start: %v", what, p))
	}
}
