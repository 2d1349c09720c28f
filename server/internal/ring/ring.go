// Package ring keeps those that log from waiting for those that write the log.
package ring

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// Size is how many records may wait for the writer.
const Size = 1024

// Patience is for how long Stop waits for a handler to take one record.
const Patience = 200 * time.Millisecond

// Ring is a queue of log records and the goroutine that writes them. What finds it full
// is dropped, counted, and told of to the handler it was made for as soon as that takes
// records again. Any goroutine may call its methods; only Stop waits.
type Ring struct {
	to      slog.Handler // is told of what was dropped
	records chan logged
	dropped atomic.Int64 // since the log last said so
	lost    atomic.Int64 // in all
	writing atomic.Int64 // odd while a handler has a record; it grows with each
	stopped atomic.Bool
	quit    chan struct{}
	ended   chan struct{}
}

// logged is a record on its way to a handler.
type logged struct {
	to     slog.Handler
	record slog.Record
}

// New makes a Ring whose losses are told to a handler. It has a goroutine, until Stop.
func New(to slog.Handler) *Ring {
	r := &Ring{to: to, records: make(chan logged, Size), quit: make(chan struct{}), ended: make(chan struct{})}
	go r.write()
	return r
}

// Hand has a handler handle record, soon.
func (r *Ring) Hand(to slog.Handler, record slog.Record) {
	select {
	case r.records <- logged{to, record}:
	default:
		r.lose(1)
	}
}

// Lost returns how many records were lost in all: those that found no room, and those
// that their handler did not write.
func (r *Ring) Lost() int64 { return r.lost.Load() }

// Ended is closed when nothing of r runs any more, which a stuck handler puts off.
func (r *Ring) Ended() <-chan struct{} { return r.ended }

func (r *Ring) lose(n int64) {
	r.dropped.Add(n)
	r.lost.Add(n)
}

// write hands records on until Stop, and then those that wait. A handler that ends the
// goroutine it is called on ends this one, and another goes on.
func (r *Ring) write() {
	returned := false
	defer func() {
		if !returned {
			r.lose(1)
			go r.write()
		}
	}()
	for r.next() {
	}
	returned = true
	close(r.ended)
}

// next handles one record, and reports whether there may be more.
func (r *Ring) next() bool {
	var l logged
	select {
	case l = <-r.records:
	case <-r.quit:
		select {
		case l = <-r.records:
		default:
			return false
		}
	}
	if !r.handle(l) {
		r.lose(1)
		return true
	}
	if n := r.dropped.Swap(0); n > 0 && Enabled(r.to, slog.LevelWarn) {
		told := slog.NewRecord(time.Now(), slog.LevelWarn, "server: log records were dropped", 0)
		told.Add("count", n)
		if !r.handle(logged{r.to, told}) {
			r.dropped.Add(n) // to be told later
		}
	}
	return true
}

// handle reports whether the handler took the record.
func (r *Ring) handle(l logged) (ok bool) {
	r.writing.Add(1)
	defer r.writing.Add(1)
	defer func() { _ = recover() }() // it was not written, and that is counted
	return l.to.Handle(context.Background(), l.record) == nil
}

// Stop writes what waits, until the time has come or one record has taken Patience.
// What is handed over afterwards is not written. Only the first call does anything.
func (r *Ring) Stop(by time.Time) {
	if r.stopped.Swap(true) {
		return
	}
	close(r.quit)
	tick := time.NewTicker(Patience)
	defer tick.Stop()
	for {
		before := r.writing.Load()
		select {
		case <-r.ended:
			return
		case <-tick.C:
			now := r.writing.Load()
			if now%2 == 1 && (now == before || !time.Now().Before(by)) {
				return
			}
		}
	}
}

// Enabled asks a handler whether it wants records of a level, and takes a panic for a no.
func Enabled(h slog.Handler, level slog.Level) (on bool) {
	defer func() { _ = recover() }()
	return h.Enabled(context.Background(), level)
}
