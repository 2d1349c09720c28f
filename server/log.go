//go:build linux

package server

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// logRing is how many records may wait for the writer.
const logRing = 1024

// logPatience is for how long the end of a server, or of a LogRing, waits for the log to
// take one record.
const logPatience = 200 * time.Millisecond

// LogRing is a slog.Handler that keeps nobody waiting for the one behind it. Up to
// 1,024 records wait for the goroutine that hands them on; a record that finds no room
// is lost, and so is one that the handler behind fails to write. The log is told how
// many were lost as soon as it takes records again.
//
// A Server puts one in front of its Logger unless that has one already. Whoever logs
// elsewhere too, in an http.Handler say, makes one and gives it to all: then no reader
// of the log decides when an answer is sent.
//
//	ring := server.NewLogRing(slog.NewTextHandler(os.Stderr, nil))
//	defer ring.Close(time.Second)
//	log := slog.New(ring)
type LogRing struct {
	ring *ring
	to   slog.Handler
}

// NewLogRing returns a LogRing in front of to. It has a goroutine, until Close.
func NewLogRing(to slog.Handler) *LogRing { return &LogRing{newRing(to), to} }

// Enabled is slog.Handler's.
func (r *LogRing) Enabled(ctx context.Context, level slog.Level) bool {
	return r.to.Enabled(ctx, level)
}

// Handle is slog.Handler's. It does not wait and does not fail. The values of the
// record are resolved before it returns.
func (r *LogRing) Handle(_ context.Context, record slog.Record) error {
	resolved := slog.NewRecord(record.Time, record.Level, record.Message, record.PC)
	record.Attrs(func(a slog.Attr) bool {
		a.Value = a.Value.Resolve() // what it is made of may change when the caller goes on
		resolved.AddAttrs(a)
		return true
	})
	r.ring.hand(r.to, resolved)
	return nil
}

// WithAttrs is slog.Handler's.
func (r *LogRing) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &LogRing{r.ring, r.to.WithAttrs(attrs)}
}

// WithGroup is slog.Handler's.
func (r *LogRing) WithGroup(name string) slog.Handler {
	return &LogRing{r.ring, r.to.WithGroup(name)}
}

// Close writes what waits, for as long as within, and ends earlier if the handler
// behind is stuck. What is logged afterwards is lost.
func (r *LogRing) Close(within time.Duration) { r.ring.stop(time.Now().Add(within)) }

// logWriter is the server's log, by way of a ring: a loop never waits for a slow log.
type logWriter struct {
	*ring
	logger *slog.Logger
	owned  bool // the ring was made for it
}

func newLogWriter(logger *slog.Logger) *logWriter {
	if r, ok := logger.Handler().(*LogRing); ok {
		return &logWriter{r.ring, slog.New(r.to), false}
	}
	return &logWriter{newRing(logger.Handler()), logger, true}
}

func (w *logWriter) error(msg string, args ...any) { w.add(slog.LevelError, msg, args...) }

func (w *logWriter) enabled(level slog.Level) bool { return isEnabled(w.logger.Handler(), level) }

// isEnabled asks a handler, and takes a panic for a no.
func isEnabled(h slog.Handler, level slog.Level) (on bool) {
	defer func() { _ = recover() }()
	return h.Enabled(context.Background(), level)
}

func (w *logWriter) add(level slog.Level, msg string, args ...any) {
	if !w.enabled(level) {
		return
	}
	r := slog.NewRecord(time.Now(), level, msg, 0)
	r.Add(args...)
	w.hand(w.logger.Handler(), r)
}

// stop writes what waits, if nobody else will: see ring.stop.
func (w *logWriter) stop(by time.Time) {
	if w.owned {
		w.ring.stop(by)
	}
}

// ring is a queue of log records and the goroutine that writes them. What finds it full
// is dropped and counted.
type ring struct {
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

func newRing(to slog.Handler) *ring {
	r := &ring{to: to, records: make(chan logged, logRing), quit: make(chan struct{}), ended: make(chan struct{})}
	go r.write()
	return r
}

// hand has to handle record, soon.
func (r *ring) hand(to slog.Handler, record slog.Record) {
	select {
	case r.records <- logged{to, record}:
	default:
		r.lose(1)
	}
}

func (r *ring) lose(n int64) {
	r.dropped.Add(n)
	r.lost.Add(n)
}

// write hands records on until stop, and then those that wait. A handler that ends the
// goroutine it is called on ends this one, and another goes on.
func (r *ring) write() {
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
func (r *ring) next() bool {
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
	if n := r.dropped.Swap(0); n > 0 && isEnabled(r.to, slog.LevelWarn) {
		told := slog.NewRecord(time.Now(), slog.LevelWarn, "server: log records were dropped", 0)
		told.Add("count", n)
		if !r.handle(logged{r.to, told}) {
			r.dropped.Add(n) // to be told later
		}
	}
	return true
}

// handle reports whether the handler took the record.
func (r *ring) handle(l logged) (ok bool) {
	r.writing.Add(1)
	defer r.writing.Add(1)
	defer func() { _ = recover() }() // it was not written, and that is counted
	return l.to.Handle(context.Background(), l.record) == nil
}

// stop writes what waits, until the time has come or one record has taken logPatience.
// What is added afterwards is not written.
func (r *ring) stop(by time.Time) {
	if r.stopped.Swap(true) {
		return
	}
	close(r.quit)
	tick := time.NewTicker(logPatience)
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
