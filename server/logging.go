//go:build linux

package server

import (
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"github.com/usher-ws/usher/upgrade"
)

// Logging returns the middleware that logs, at level info, every attempt and every
// end: "accepted" or "refused", and "closed" with the duration, the messages and
// bytes the client sent that were within its limits, the close code and the reason.
// nil is the server's own Logger.
//
// Secrets of the request line are left out. A loop does not wait for the log: what
// a slow one has no room for is dropped and counted, as all of the server's records
// are. Of Use, it also tells of refusals before a route is known; what goes to the
// Handler is not its business. A connection costs some 150 bytes more with it.
func Logging(logger *slog.Logger) Middleware {
	a := &accessLog{logger: logger}
	return Middleware{Name: "logging", onLoop: true, Open: a.open, Message: a.message, Close: a.close, refused: a.refused}
}

// accessLog is one Logging. It has no state but what its loops keep for it.
type accessLog struct {
	logger *slog.Logger
}

// stay is what an access log remembers of a connection.
type stay struct {
	since    time.Duration
	remote   netip.AddrPort // who has reset the connection has none any more
	messages int64
	bytes    int64
}

type stayKey struct {
	log  *accessLog
	slot uint32
}

func (a *accessLog) open(next OpenFunc) OpenFunc {
	return func(c Conn) error {
		l := c.loop
		v := &stay{since: l.Now(), remote: c.RemoteAddr()}
		if l.stays == nil {
			l.stays = make(map[stayKey]*stay)
		}
		l.stays[stayKey{a, c.slot}] = v
		a.write(l, "accepted", a.who(c, v)...)
		return next(c)
	}
}

func (a *accessLog) message(next Handler) Handler {
	return func(c Conn, m Message) error {
		if v := c.loop.stays[stayKey{a, c.slot}]; v != nil {
			v.messages++
			v.bytes += int64(len(m.Data))
		}
		return next(c, m)
	}
}

func (a *accessLog) close(next CloseFunc) CloseFunc {
	return func(c Conn, err error) {
		key := stayKey{a, c.slot}
		v := c.loop.stays[key]
		if v == nil { // an outer middleware did not let it in
			next(c, err)
			return
		}
		delete(c.loop.stays, key)
		attrs := append(a.who(c, v),
			slog.Duration("duration", (c.loop.Now()-v.since).Round(time.Millisecond)),
			slog.Int64("messages", v.messages),
			slog.Int64("bytes", v.bytes))
		if e, ok := err.(*CloseError); ok {
			attrs = append(attrs, slog.Int("code", int(e.Code)), slog.String("reason", e.Reason))
		}
		a.write(c.loop, "closed", attrs...)
		next(c, err)
	}
}

func (a *accessLog) refused(l *loop, r *upgrade.Request, e *upgrade.Rejection) {
	attrs := make([]slog.Attr, 0, 5)
	if request := strings.TrimSpace(r.String()); request != "" { // it may have been no HTTP
		attrs = append(attrs, slog.String("request", request))
	}
	attrs = append(attrs, slog.Any("remote", r.RemoteAddr), slog.Int("status", e.Status), slog.String("code", wordOf(e)))
	if r.Identity != nil {
		attrs = append(attrs, slog.String("user", r.Identity.Subject))
	}
	a.write(l, "refused", attrs...)
}

// who are the attributes that accepted and closed have in common.
func (a *accessLog) who(c Conn, v *stay) []slog.Attr {
	attrs := make([]slog.Attr, 0, 8)
	attrs = append(attrs, slog.String("route", c.loop.routeOf(c.loop.At(c.slot)).pattern), slog.Any("remote", v.remote))
	if id := c.Identity(); id != nil {
		attrs = append(attrs, slog.String("user", id.Subject))
	}
	return attrs
}

// write leaves all that takes time to the log's goroutine.
func (a *accessLog) write(l *loop, msg string, attrs ...slog.Attr) {
	logger := a.logger
	if logger == nil {
		logger = l.srv.log.logger
	}
	if !logger.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	r := slog.NewRecord(time.Now(), slog.LevelInfo, msg, 0)
	r.AddAttrs(attrs...)
	l.srv.log.hand(logger.Handler(), r)
}
