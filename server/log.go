//go:build linux

package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/usher-ws/usher/server/internal/ring"
)

// LogRing is a slog.Handler in front of another, which its callers never wait for. Up to
// 1,024 records wait for the goroutine that hands them on; a record that finds no room
// is lost, and so is one that the handler behind fails to write. The log is told how
// many were lost as soon as it takes records again.
//
// A Server puts one in front of its Logger unless that has one already. A
// program that also logs elsewhere, in an http.Handler say, should give one LogRing to all:
// then no reader of the log decides when an answer is sent.
//
//	ring := server.NewLogRing(slog.NewTextHandler(os.Stderr, nil))
//	defer ring.Close(time.Second)
//	log := slog.New(ring)
type LogRing struct {
	ring *ring.Ring
	to   slog.Handler
}

// NewLogRing returns a LogRing in front of to. It has a goroutine, until Close.
func NewLogRing(to slog.Handler) *LogRing { return &LogRing{ring.New(to), to} }

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
	r.ring.Hand(r.to, resolved)
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
func (r *LogRing) Close(within time.Duration) { r.ring.Stop(time.Now().Add(within)) }

// logWriter is the server's log, by way of a ring: a loop never waits for a slow log.
type logWriter struct {
	*ring.Ring
	logger *slog.Logger
	owned  bool // the ring was made for it
}

func newLogWriter(logger *slog.Logger) *logWriter {
	if r, ok := logger.Handler().(*LogRing); ok {
		return &logWriter{r.ring, slog.New(r.to), false}
	}
	return &logWriter{ring.New(logger.Handler()), logger, true}
}

func (w *logWriter) error(msg string, args ...any) { w.add(slog.LevelError, msg, args...) }

func (w *logWriter) enabled(level slog.Level) bool { return ring.Enabled(w.logger.Handler(), level) }

func (w *logWriter) add(level slog.Level, msg string, args ...any) {
	if !w.enabled(level) {
		return
	}
	r := slog.NewRecord(time.Now(), level, msg, 0)
	r.Add(args...)
	w.Hand(w.logger.Handler(), r)
}

// stop writes what waits, if nobody else will: see Ring.Stop.
func (w *logWriter) stop(by time.Time) {
	if w.owned {
		w.Ring.Stop(by)
	}
}
