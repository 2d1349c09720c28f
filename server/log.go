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

// logWriter writes log records on a goroutine of its own: a loop never waits for
// a slow log. What finds the ring full is dropped and counted.
type logWriter struct {
	logger  *slog.Logger
	records chan logged
	dropped atomic.Int64 // since the log last said so
	lost    atomic.Int64 // in all
	ended   chan struct{}
}

func newLogWriter(logger *slog.Logger) *logWriter {
	w := &logWriter{logger: logger, records: make(chan logged, logRing), ended: make(chan struct{})}
	go w.write()
	return w
}

// logged is a record on its way to a handler.
type logged struct {
	to     slog.Handler
	record slog.Record
}

func (w *logWriter) error(msg string, args ...any) { w.add(slog.LevelError, msg, args...) }

func (w *logWriter) enabled(level slog.Level) bool {
	return w.logger.Enabled(context.Background(), level)
}

func (w *logWriter) add(level slog.Level, msg string, args ...any) {
	if !w.enabled(level) {
		return
	}
	r := slog.NewRecord(time.Now(), level, msg, 0)
	r.Add(args...)
	w.hand(w.logger.Handler(), r)
}

// hand has to handle r, soon.
func (w *logWriter) hand(to slog.Handler, r slog.Record) {
	select {
	case w.records <- logged{to, r}:
	default:
		w.dropped.Add(1)
		w.lost.Add(1)
	}
}

func (w *logWriter) write() {
	defer close(w.ended)
	for r := range w.records {
		_ = r.to.Handle(context.Background(), r.record)
		if n := w.dropped.Swap(0); n > 0 {
			w.logger.Warn("server: log records were dropped", "count", n)
		}
	}
}

// stop writes what waits. Nothing may be added afterwards.
func (w *logWriter) stop() {
	close(w.records)
	<-w.ended
}
