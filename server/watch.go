//go:build linux

package server

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// A callback that takes longer than tooLong is logged, once for each route: when it is
// over, or when it has lasted for far too long and may never be.
const (
	tooLong    = 100 * time.Millisecond
	farTooLong = time.Second
	watchEvery = 25 * time.Millisecond
)

// enter says that callbacks of a route are called from here on. It is all that the
// watchdog costs: a store and a look for an event, however many messages are in it.
func (l *loop) enter(r *loopRoute) {
	l.entered++
	l.busy.Store(l.entered<<16 | uint64(r.index+1))
	if l.srv.watch.asleep.Load() {
		l.srv.watch.wake()
	}
}

// watchdog is the goroutine that looks at what the loops are doing. It sleeps while
// they do nothing: a server that is idle needs no processor.
type watchdog struct {
	srv     *Server
	seen    []sighting     // by loop
	told    []bool         // by route
	held    []atomic.Int64 // by route: how often it was too long
	asleep  atomic.Bool
	woken   chan struct{}
	quit    chan struct{}
	stopped chan struct{}
}

// sighting is what a loop was seen doing, and for how long it was the same.
type sighting struct {
	busy        uint64 // loop.busy
	first, last time.Time
}

// start begins to watch the loops of s.
func (w *watchdog) start(s *Server) {
	w.srv, w.seen, w.told = s, make([]sighting, len(s.loops)), make([]bool, len(s.routes))
	w.held = make([]atomic.Int64, len(s.routes))
	w.woken, w.quit, w.stopped = make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
	go w.run()
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
		if w.look(time.Now()) {
			continue
		}
		tick.Stop()
		w.asleep.Store(true) // and then look again: a loop that enters after this wakes us
		if !w.look(time.Now()) {
			select {
			case <-w.quit:
				return
			case <-w.woken:
			}
		}
		w.asleep.Store(false)
		tick.Reset(watchEvery)
	}
}

// look notes what all loops do, and reports whether any does something or has done
// something since the last look.
func (w *watchdog) look(now time.Time) (busy bool) {
	for k, l := range w.srv.loops {
		doing := l.busy.Load()
		busy = busy || doing != 0 || w.seen[k].busy != 0
		w.note(&w.seen[k], doing, now)
	}
	return busy
}

// wake ends the watchdog's sleep. Any loop may call it.
func (w *watchdog) wake() {
	if w.asleep.CompareAndSwap(true, false) {
		select {
		case w.woken <- struct{}{}:
		default:
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
	if route < 0 {
		return
	}
	took, over := before.last.Sub(before.first), busy != before.busy
	if over && took >= tooLong {
		w.held[route].Add(1)
	}
	switch {
	case w.told[route]:
	case over && took >= tooLong:
		w.tell(route, took, true)
	case !over && now.Sub(before.first) >= farTooLong:
		w.tell(route, now.Sub(before.first), false)
	}
}

// tell writes to the log. What it was seen for is what it took at least.
func (w *watchdog) tell(route int, took time.Duration, over bool) {
	w.told[route] = true
	w.srv.log.add(slog.LevelWarn, "server: a callback holds its loop: all its connections wait",
		"route", w.srv.routes[route].pattern.String(), "duration", took.Round(time.Millisecond), "over", over)
}

// stop ends the goroutine.
func (w *watchdog) stop() {
	close(w.quit)
	<-w.stopped
}
