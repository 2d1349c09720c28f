//go:build linux

package poller

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// This file is what a loop does when it runs: passes over what is ready, wake-ups and the timer.

func (l *Loop) readClock() { l.now = time.Since(l.origin) }

// yieldEvery is less than the 10 ms after which Go's monitor thread interferes: it would
// take the loop's processor away from it, and look again every 20 µs for a while.
const yieldEvery = 5 * time.Millisecond

// onReady takes the ready connections, and now and then lets other goroutines run.
func (l *Loop) onReady() {
	l.takeReady()
	if l.now >= l.gave+yieldEvery {
		l.gave = l.now
		runtime.Gosched()
	}
}

// takeReady takes the ready connections in a few passes. Most often the second one
// finds nothing, at the price of 0.2 µs; under load it saves the way through the
// outer wait. What is left is taken in the next turn. A loop that spins or goes on makes
// more of them, for a millisecond: then the other descriptors have their turn, and
// the timer or a wake-up brings it back.
func (l *Loop) takeReady() {
	end := l.now + maxSpin
	l.handOut()
	for pass := 0; pass < maxPasses || l.goesOn() && l.now < end; pass++ {
		events, err := l.set.wait()
		if err != nil {
			l.h.Failed(err)
			return
		}
		if len(events) == 0 && !l.goesOn() {
			return
		}
		l.readClock()
		l.ready = events
		l.handOut()
		if l.again || l.woken.Load() {
			l.answerWake()
		}
		l.h.After()
	}
	if l.again {
		l.Wake()
	}
	if l.now < l.spin {
		_ = l.SetTimer(l.now)
	}
}

// goesOn reports whether there is another pass whatever is ready.
func (l *Loop) goesOn() bool { return l.again || l.now < l.spin }

// handOut tells the handler of the events of a pass.
func (l *Loop) handOut() {
	for len(l.ready) > 0 {
		ev := &l.ready[0]
		l.ready = l.ready[1:]
		l.h.Ready(eventData(ev), Event(ev.Events))
	}
}

func (l *Loop) onWake() {
	var count [8]byte
	_, _ = unix.Read(l.wakeFD, count[:])
	l.readClock()
	l.handOut()
	l.answerWake()
	l.after()
}

// answerWake lowers the flag first: a caller that posts after that wakes the loop again.
func (l *Loop) answerWake() {
	l.again = false
	l.woken.Store(false)
	l.mu.Lock()
	l.posts = append(l.posts, l.posted...)
	l.posted = nil
	l.mu.Unlock()
	for len(l.posts) > 0 {
		f := l.posts[0]
		l.posts = l.posts[1:]
		f()
	}
	l.posts = nil
	l.h.Wake()
}

func (l *Loop) onTimer() {
	var count [8]byte
	_, _ = unix.Read(l.timerFD, count[:])
	l.armed = 0
	l.readClock()
	l.h.Timer()
	l.after()
}

// after is the end of what happens outside a pass. Passes follow if the handler wants to go
// on or the loop to spin.
func (l *Loop) after() {
	l.h.After()
	if l.goesOn() {
		l.onReady()
	}
}
