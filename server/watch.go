//go:build linux

package server

import (
	"log/slog"
	"time"
)

// A callback that takes longer than tooLong is told of in the log, once for each
// route: when it is over, or when it has lasted for far too long and may never be.
const (
	tooLong    = 100 * time.Millisecond
	farTooLong = time.Second
	watchEvery = 25 * time.Millisecond
)

// enter says that callbacks of a route are called from here on. It is all that the
// watchdog costs: one store for an event, however many messages are in it.
func (l *loop) enter(r *loopRoute) {
	l.entered++
	l.busy.Store(l.entered<<16 | uint64(r.index+1))
}

// watchdog is the goroutine that looks at what the loops are doing.
type watchdog struct {
	srv     *Server
	seen    []sighting // by loop
	told    []bool     // by route
	quit    chan struct{}
	stopped chan struct{}
}

// sighting is what a loop was seen doing, and for how long it was the same.
type sighting struct {
	busy        uint64 // loop.busy
	first, last time.Time
}

func newWatchdog(s *Server) *watchdog {
	w := &watchdog{
		srv:     s,
		seen:    make([]sighting, len(s.loops)),
		told:    make([]bool, len(s.routes)),
		quit:    make(chan struct{}),
		stopped: make(chan struct{}),
	}
	go w.run()
	return w
}

func (w *watchdog) run() {
	defer close(w.stopped)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-w.quit:
			return
		case <-tick.C:
		}
		now := time.Now()
		for k, l := range w.srv.loops {
			w.note(&w.seen[k], l.busy.Load(), now)
		}
	}
}

// note compares what a loop does now with what it was seen doing.
func (w *watchdog) note(v *sighting, busy uint64, now time.Time) {
	before := *v
	if busy == v.busy {
		v.last = now
	} else {
		*v = sighting{busy, now, now}
	}
	route := int(before.busy&(1<<16-1)) - 1
	if route < 0 || w.told[route] {
		return
	}
	switch took := before.last.Sub(before.first); {
	case busy == before.busy && now.Sub(before.first) >= farTooLong:
		w.tell(route, now.Sub(before.first), false)
	case busy != before.busy && took >= tooLong:
		w.tell(route, took, true)
	}
}

// tell writes to the log. What it was seen for is what it took at least.
func (w *watchdog) tell(route int, took time.Duration, over bool) {
	w.told[route] = true
	w.srv.log.add(slog.LevelWarn, "server: a callback holds its loop: all its connections wait",
		"route", w.srv.routes[route].pattern, "duration", took.Round(time.Millisecond), "over", over)
}

// stop ends the goroutine.
func (w *watchdog) stop() {
	close(w.quit)
	<-w.stopped
}
